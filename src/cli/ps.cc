#include <algorithm>
#include <array>

#include "base/clock.h"
#include "base/limits.h"
#include "cli/context.h"
#include "cli/group_state.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/watch.h"
#include "cli/watch_page.h"
#include "daemon/client.h"
#include "daemon/metrics.h"
#include "kernel/folder.h"

namespace perdure::cli {
namespace {

bool runs(const GroupState& state) { return state.running != GroupState::Running::kNo; }

std::string names_text(const std::vector<daemon::GroupPlace>& places) {
  std::string text;
  for (const daemon::GroupPlace& place : places) text += place.name + "\n";
  return text;
}

void append_counts(JsonWriter& json, const control::Persistence& counts) {
  const WatchFigures figures = figures_of(nullptr, {0, counts});
  json.key("periodic").begin_object().key("period_ns").number(counts.period_ns());
  json.key("period_now_ns").number(counts.period_now_ns()).key("paused").boolean(counts.paused());
  json.key("captured").number(counts.captured()).key("durable").number(counts.durable());
  json.key("missed").number(counts.missed()).key("failures").number(counts.failures());
  json.key("last_error");
  counts.last_error().empty() ? json.null() : json.string(counts.last_error());
  json.key("stop_p50_us").number(figures.stop_p50_us.value_or(0));
  json.key("stop_p99_us").number(figures.stop_p99_us.value_or(0));
  json.key("stop_max_us").number(counts.stop_max_us());
  json.key("durable_lag_ns").number(counts.durable_lag_last_ns()).end_object();
}

void append_json(JsonWriter& json, const GroupState& state) {
  json.begin_object().key("name").string(state.name).key("state").string(state.text());
  json.key("running").boolean(runs(state));
  json.key("engine_pid");
  state.engine_pid != 0 ? json.number(state.engine_pid) : json.null();
  json.key("root_pid");
  state.root_pid != 0 ? json.number(state.root_pid) : json.null();
  json.key("pids").begin_array();
  for (pid_t pid : state.processes) json.number(pid);
  json.end_array();
  json.key("terminal").boolean(state.has_terminal);
  json.key("lazy_pages_left").number(state.lazy_pages_left);
  json.key("metrics_port");
  state.metrics_port != 0 ? json.number(uint64_t{state.metrics_port}) : json.null();
  json.key("epochs").number(uint64_t{state.epochs});
  json.key("newest_epoch");
  state.newest ? json.number(state.newest->epoch.value) : json.null();
  json.key("newest_captured_realtime_ns");
  state.newest ? json.number(state.newest->captured_realtime_ns) : json.null();
  if (state.counts) append_counts(json, *state.counts);
  json.key("bytes").number(state.bytes).key("store").string(state.store);
  if (!state.damage.empty()) json.key("damage").string(state.damage);
  json.end_object();
}

// A restored group runs before all of its memory is there.
std::string state_cell(const GroupState& state) {
  if (state.lazy_pages_left == 0) return state.text();
  return state.text() + ", " + bytes_text(state.lazy_pages_left << kPageShift) + " to load";
}

// How it is saved, since its engine began: period, stop windows, time to durable.
std::array<std::string, 4> saving_cells(const GroupState& state) {
  if (!state.counts) return {"-", "-", "-", "-"};
  const WatchFigures figures = figures_of(nullptr, {0, *state.counts});
  auto us_or_dash = [](std::optional<uint64_t> us) { return us ? duration_text(*us) : "-"; };
  std::string lag =
      state.counts->durable() > 0 ? duration_text(state.counts->durable_lag_last_ns() / 1000) : "-";
  return {period_text(*state.counts), us_or_dash(figures.stop_p50_us),
          us_or_dash(figures.stop_p99_us), lag};
}

std::string table_text(const std::vector<GroupState>& states) {
  Table table;
  table.column("GROUP", Align::kLeft).column("STATE", Align::kLeft).column("PID", Align::kRight);
  table.column("PROCESSES", Align::kRight)
      .column("EPOCHS", Align::kRight)
      .column("NEWEST", Align::kRight);
  table.column("EVERY", Align::kLeft).column("STOP p50", Align::kRight);
  table.column("p99", Align::kRight).column("LAG", Align::kRight);
  table.column("SIZE", Align::kRight).column("STORE", Align::kLeft);
  uint64_t now = SystemClock().realtime_ns();
  for (const GroupState& state : states) {
    std::string age =
        state.newest ? age_text(state.newest->captured_realtime_ns, now) + " ago" : "-";
    const std::array<std::string, 4> cells = saving_cells(state);
    table.row(
        {state.name, state_cell(state), state.root_pid != 0 ? std::to_string(state.root_pid) : "-",
         runs(state) ? std::to_string(state.processes.size()) : "-", std::to_string(state.epochs),
         age, cells[0], cells[1], cells[2], cells[3], bytes_text(state.bytes), state.store});
  }
  return table.text();
}

// Of groups whose engines answer; the others have no figures.
Status print_metrics(const std::vector<daemon::GroupPlace>& places) {
  std::vector<daemon::GroupMetrics> groups;
  for (const daemon::GroupPlace& place : places) {
    auto client = daemon::Client::connect(place);
    if (!client.ok()) continue;
    auto status = client->status();
    if (!status.ok()) continue;
    groups.push_back({std::move(*status), kernel::bytes_on_disk(place.directory)});
  }
  return print(daemon::metrics_text(groups));
}

}  // namespace

Result<int> ps(const Context& context) {
  if (context.arguments.watch) return watch_groups(context);
  std::vector<daemon::GroupPlace> places = PD_TRY(context.places.groups(context.arguments.store));
  std::sort(places.begin(), places.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  if (context.arguments.names_only) {
    PD_TRY(print(names_text(places)));
    return 0;
  }
  if (context.arguments.metrics) {
    PD_TRY(print_metrics(places));
    return 0;
  }
  std::vector<GroupState> states;
  for (const daemon::GroupPlace& place : places) states.push_back(look_at_group(place));
  if (!context.arguments.json) {
    PD_TRY(print(table_text(states)));
    return 0;
  }
  JsonWriter json;
  json.begin_array();
  for (const GroupState& state : states) append_json(json, state);
  PD_TRY(print(json.end_array().take()));
  return 0;
}

}  // namespace perdure::cli
