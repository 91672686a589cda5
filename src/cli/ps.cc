#include <algorithm>

#include "base/clock.h"
#include "cli/context.h"
#include "cli/group_state.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/watch.h"
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
  json.key("epochs").number(uint64_t{state.epochs});
  json.key("newest_epoch");
  state.newest ? json.number(state.newest->epoch.value) : json.null();
  json.key("newest_captured_realtime_ns");
  state.newest ? json.number(state.newest->captured_realtime_ns) : json.null();
  json.key("bytes").number(state.bytes).key("store").string(state.store);
  if (!state.damage.empty()) json.key("damage").string(state.damage);
  json.end_object();
}

std::string table_text(const std::vector<GroupState>& states) {
  Table table;
  table.column("GROUP", Align::kLeft).column("STATE", Align::kLeft).column("PID", Align::kRight);
  table.column("PROCESSES", Align::kRight)
      .column("EPOCHS", Align::kRight)
      .column("NEWEST", Align::kRight);
  table.column("SIZE", Align::kRight).column("STORE", Align::kLeft);
  uint64_t now = SystemClock().realtime_ns();
  for (const GroupState& state : states) {
    std::string age =
        state.newest ? age_text(state.newest->captured_realtime_ns, now) + " ago" : "-";
    table.row({state.name, state.text(), state.root_pid != 0 ? std::to_string(state.root_pid) : "-",
               runs(state) ? std::to_string(state.processes.size()) : "-",
               std::to_string(state.epochs), age, bytes_text(state.bytes), state.store});
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
