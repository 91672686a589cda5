#include "cli/context.h"
#include "cli/epoch_note.h"
#include "cli/json.h"
#include "cli/open_store.h"
#include "cli/output.h"

namespace perdure::cli {
namespace {

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
  append_number(json, "processes", note_number(info.note, "processes"));
  append_number(json, "threads", note_number(info.note, "threads"));
  json.key("timing").raw(note_object(info.note, "timing")).end_object();
}

std::string duration_or_dash(std::optional<uint64_t> us) { return us ? duration_text(*us) : "-"; }
std::string count_or_dash(std::optional<uint64_t> count) {
  return count ? count_text(*count) : "-";
}

std::string table_text(const std::vector<store::EpochInfo>& epochs) {
  Table table;
  table.column("EPOCH", Align::kRight).column("AFTER", Align::kRight).column("WHEN", Align::kLeft);
  table.column("STOPPED", Align::kRight)
      .column("SAVED IN", Align::kRight)
      .column("WRITTEN", Align::kRight);
  table.column("PROCESSES", Align::kRight).column("THREADS", Align::kRight);
  table.column("RECORDS CHANGED", Align::kRight).column("PAGES CHANGED", Align::kRight);
  for (const store::EpochInfo& info : epochs) {
    table.row({std::to_string(info.epoch.value),
               info.parent.value == 0 ? "-" : std::to_string(info.parent.value),
               time_text(info.captured_realtime_ns),
               duration_or_dash(note_number(info.note, "stop_us")),
               duration_or_dash(total_us(info)), bytes_text(info.bytes_written),
               count_or_dash(note_number(info.note, "processes")),
               count_or_dash(note_number(info.note, "threads")), count_text(info.records_changed),
               count_text(info.pages_changed)});
  }
  return table.text();
}

}  // namespace

Result<int> log(const Context& context) {
  daemon::GroupPlace place = PD_TRY(the_group(context));
  auto store = PD_TRY(open_store(place));
  std::vector<store::EpochInfo> epochs = store->epochs();
  if (!context.arguments.json) {
    PD_TRY(print(table_text(epochs)));
    return 0;
  }
  JsonWriter json;
  json.begin_array();
  for (const store::EpochInfo& info : epochs) append_json(json, info);
  PD_TRY(print(json.end_array().take()));
  return 0;
}

}  // namespace perdure::cli
