#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "cli/branch_graph.h"
#include "cli/context.h"
#include "cli/epoch_note.h"
#include "cli/epoch_rows.h"
#include "cli/epoch_timing.h"
#include "cli/json.h"
#include "cli/open_store.h"
#include "cli/output.h"
#include "kernel/terminal_mode.h"

namespace perdure::cli {
namespace {

// What somebody at a terminal still looks through.
constexpr size_t kRowsOnTerminal = 200;

// From the cut to the commit.
std::optional<uint64_t> total_us(const store::EpochInfo& info) {
  if (auto noted = note_number(info.note, "total_us")) return noted;
  auto stop_us = note_number(info.note, "stop_us");
  if (!stop_us || info.durable_realtime_ns < info.captured_realtime_ns) return std::nullopt;
  return *stop_us + (info.durable_realtime_ns - info.captured_realtime_ns) / 1000;
}

void append_number(JsonWriter& json, const char* key, std::optional<uint64_t> value) {
  json.key(key);
  value ? json.number(*value) : json.null();
}

void append_json(JsonWriter& json, const store::EpochInfo& info) {
  json.begin_object().key("epoch").number(info.epoch.value);
  append_number(json, "parent",
                info.parent.value == 0 ? std::nullopt : std::optional(info.parent.value));
  json.key("captured_realtime_ns").number(info.captured_realtime_ns);
  json.key("durable_realtime_ns").number(info.durable_realtime_ns);
  json.key("bytes_written").number(info.bytes_written);
  json.key("records_changed")
      .number(info.records_changed)
      .key("pages_changed")
      .number(info.pages_changed);
  append_number(json, "stop_us", note_number(info.note, "stop_us"));
  append_number(json, "total_us", total_us(info));
  append_number(json, "stop_pages", note_number(info.note, "stop_pages"));
  append_number(json, "held_pages", note_number(info.note, "held_pages"));
  append_number(json, "hot_pages", note_number(info.note, "hot_pages"));
  append_number(json, "faulted_pages", note_number(info.note, "faulted_pages"));
  append_number(json, "processes", note_number(info.note, "processes"));
  append_number(json, "threads", note_number(info.note, "threads"));
  json.key("timing").raw(note_object(info.note, "timing")).end_object();
}

void append_summary(JsonWriter& json, const TimingTable& timing) {
  json.begin_object();
  for (const std::string& part : timing.parts) {
    json.key(part).begin_object();
    append_number(json, "p50", timing.percentile(part, 0.5));
    append_number(json, "p99", timing.percentile(part, 0.99));
    append_number(json, "max", timing.percentile(part, 1));
    json.end_object();
  }
  json.end_object();
}

std::string duration_or_dash(std::optional<uint64_t> us) { return us ? duration_text(*us) : "-"; }
std::string count_or_dash(std::optional<uint64_t> count) {
  return count ? count_text(*count) : "-";
}

// How long after the capture it was on the disk.
std::string lag_text(const store::EpochInfo& info) {
  if (info.durable_realtime_ns < info.captured_realtime_ns) return "-";
  return "+" + duration_text((info.durable_realtime_ns - info.captured_realtime_ns) / 1000);
}

bool any_hidden(const std::vector<EpochRow>& rows) {
  return std::any_of(rows.begin(), rows.end(), [](const EpochRow& row) { return row.hidden > 0; });
}

Table table_of(const std::vector<EpochRow>& rows) {
  Table table;
  const bool hidden = any_hidden(rows);
  table.column("EPOCH", Align::kRight).column("AFTER", Align::kRight);
  if (hidden) table.column("HIDDEN", Align::kRight);
  table.column("CAPTURED", Align::kLeft).column("DURABLE", Align::kRight);
  table.column("STOPPED", Align::kRight).column("WRITTEN", Align::kRight);
  table.column("PROCESSES", Align::kRight).column("THREADS", Align::kRight);
  table.column("RECORDS CHANGED", Align::kRight).column("PAGES CHANGED", Align::kRight);
  for (const EpochRow& row : rows) {
    const store::EpochInfo& info = *row.info;
    std::vector<std::string> cells = {
        std::to_string(info.epoch.value),
        info.parent.value == 0 ? "-" : std::to_string(info.parent.value)};
    if (hidden) cells.push_back(row.hidden > 0 ? "+" + count_text(row.hidden) : "");
    for (std::string cell :
         {moment_text(info.captured_realtime_ns), lag_text(info),
          duration_or_dash(note_number(info.note, "stop_us")), bytes_text(info.bytes_written),
          count_or_dash(note_number(info.note, "processes")),
          count_or_dash(note_number(info.note, "threads")), count_text(info.records_changed),
          count_text(info.pages_changed)}) {
      cells.push_back(std::move(cell));
    }
    table.row(std::move(cells));
  }
  return table;
}

std::string us_or_dash(std::optional<uint64_t> us) { return us ? count_text(*us) : "-"; }

// Microseconds throughout, with the summary at the end, where a terminal shows it.
Table timing_table_of(const std::vector<EpochRow>& rows, const TimingTable& all) {
  Table table;
  TimingTable timing = timing_of(rows);
  table.column("EPOCH", Align::kRight).column("CAPTURED", Align::kLeft);
  for (const std::string& part : timing.parts) {
    table.column(part == kWholeWindow ? "STOPPED us" : part, Align::kRight);
  }
  for (size_t at = 0; at < rows.size(); ++at) {
    std::vector<std::string> cells = {std::to_string(rows[at].info->epoch.value),
                                      moment_text(rows[at].info->captured_realtime_ns)};
    for (const auto& us : timing.rows[at]) cells.push_back(us_or_dash(us));
    table.row(std::move(cells));
  }
  constexpr std::pair<const char*, double> kSummary[] = {{"p50", 0.5}, {"p99", 0.99}, {"max", 1.0}};
  for (const auto& [name, share] : kSummary) {
    std::vector<std::string> cells = {name,
                                      fmt::format("of {} epochs", count_text(all.rows.size()))};
    for (const std::string& part : timing.parts)
      cells.push_back(us_or_dash(all.percentile(part, share)));
    table.row(std::move(cells));
  }
  return table;
}

// lines: the titles, one for each row, and perhaps more behind them.
std::string graph_text(const std::vector<EpochRow>& rows, const std::vector<std::string>& lines) {
  std::string text;
  BranchGraph graph;
  std::vector<std::vector<std::string>> drawn;
  size_t width = 0;
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    drawn.push_back(graph.add(*row));
    width = std::max(width, drawn.back().front().size());
  }
  auto append = [&text, width](std::string line, const std::string& rest) {
    line.resize(std::max(width, line.size()), ' ');
    text += line + "  " + rest + "\n";
  };
  append("", lines.front());
  for (size_t at = 0; at < drawn.size(); ++at) {
    append(drawn[at].front(), lines[rows.size() - at]);
    for (size_t more = 1; more < drawn[at].size(); ++more) text += drawn[at][more] + "\n";
  }
  for (size_t at = rows.size() + 1; at < lines.size(); ++at) append("", lines[at]);
  return text;
}

bool is_bounded(const Arguments& arguments) {
  return arguments.thin_ns || arguments.newest || arguments.since || arguments.since_ns;
}

Result<RowChoice> choice_of(const Arguments& arguments,
                            const std::vector<store::EpochInfo>& epochs) {
  RowChoice choice;
  choice.newest = arguments.newest;
  choice.thin_ns = arguments.thin_ns.value_or(0);
  if (arguments.since) {
    choice.since_ns = PD_TRY(realtime_of(*arguments.since, SystemClock().realtime_ns()));
  } else if (arguments.since_ns && !epochs.empty()) {
    uint64_t newest_ns = epochs.back().captured_realtime_ns;
    choice.since_ns = newest_ns - std::min(newest_ns, *arguments.since_ns);
  }
  const bool person = kernel::is_terminal(STDOUT_FILENO) && !arguments.json;
  if (person && !is_bounded(arguments)) choice.thin_ns = thinning_for(epochs, 0, kRowsOnTerminal);
  return choice;
}

// Percentiles are of all epochs, also of those that are not shown.
std::vector<EpochRow> not_thinned(const std::vector<store::EpochInfo>& epochs,
                                  const RowChoice& choice) {
  return choose_rows(epochs, {{}, choice.since_ns, 0});
}

std::string json_text(const Arguments& arguments, const std::vector<EpochRow>& rows,
                      const TimingTable& timing) {
  JsonWriter json;
  if (arguments.timing) json.begin_object().key("epochs");
  json.begin_array();
  for (const EpochRow& row : rows) append_json(json, *row.info);
  json.end_array();
  if (arguments.timing) {
    json.key("timing_us");
    append_summary(json, timing);
    json.end_object();
  }
  return json.take();
}

// What was left out and how to see it.
std::string thinning_note(const Arguments& arguments, const RowChoice& choice, size_t shown,
                          size_t all) {
  if (choice.thin_ns == 0 || arguments.thin_ns) return "";
  return fmt::format("{} of {} epochs, the last of each {}; --all lists all\n", count_text(shown),
                     count_text(all), span_text(choice.thin_ns));
}

}  // namespace

Result<int> log(const Context& context) {
  const Arguments& arguments = context.arguments;
  daemon::GroupPlace place = PD_TRY(the_group(context));
  auto store = PD_TRY(open_store(place));
  std::vector<store::EpochInfo> epochs = store->epochs();
  RowChoice choice = PD_TRY(choice_of(arguments, epochs));
  std::vector<EpochRow> rows = choose_rows(epochs, choice);
  TimingTable timing;
  if (arguments.timing)
    timing = timing_of(choice.thin_ns == 0 ? rows : not_thinned(epochs, choice));
  if (arguments.json) {
    PD_TRY(print(json_text(arguments, rows, timing)));
    return 0;
  }
  Table table = arguments.timing ? timing_table_of(rows, timing) : table_of(rows);
  PD_TRY(print(arguments.graph ? graph_text(rows, table.lines()) : table.text()));
  PD_TRY(print(thinning_note(arguments, choice, rows.size(), epochs.size())));
  return 0;
}

}  // namespace perdure::cli
