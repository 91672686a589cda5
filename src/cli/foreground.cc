#include "cli/foreground.h"

#include <unistd.h>

#include "cli/json.h"
#include "cli/output.h"
#include "daemon/metrics_port.h"
#include "kernel/daemonize.h"
#include "kernel/terminal_mode.h"

namespace perdure::cli {

bool on_terminal() {
  return kernel::is_terminal(STDIN_FILENO) && kernel::is_terminal(STDOUT_FILENO);
}

Status tell(std::string_view text) {
  return kernel::is_callers_own(STDOUT_FILENO) ? print(text) : Status(Ok{});
}

namespace {

// Told before anything is begun: later the group runs, with or without the port.
Status check_port_is_free(std::optional<uint16_t> port) {
  if (port.value_or(0) == 0) return Ok{};
  auto listening = daemon::MetricsPort::listen(*port);
  if (listening.ok()) return Ok{};
  return std::move(listening).error().with_remedy("choose another, or --metrics-port 0 for none");
}

}  // namespace

std::string holding_json(const std::string& name, const Holding& holding) {
  JsonWriter json;
  json.begin_object().key("name").string(name).key("engine_pid").number(holding.engine_pid);
  json.key("root_pid").number(holding.root_pid);
  json.key("processes").number(uint64_t{holding.processes}).end_object();
  return json.take();
}

Result<int> launch(const Context& context, const daemon::GroupPlace& place,
                   daemon::EngineTask& task, Ground ground, Redraw redraw,
                   const std::function<Status(const control::Started&)>& launched) {
  PD_TRY(check_port_is_free(context.arguments.metrics_port));
  daemon::LaunchOptions options;
  options.place = place;
  options.foreground = ground == Ground::kForeground;
  options.show_terminal = options.foreground && on_terminal();
  options.arguments = context.main_arguments;
  options.inherited = context.inherited;
  daemon::Launched engine = PD_TRY(daemon::launch_engine(context.places, options, task));
  if (!options.foreground) {
    PD_TRY(launched(engine.started));
    return 0;
  }
  RelayEnd end = engine.terminal.valid()
                     ? PD_TRY(relay_terminal(engine.client, std::move(engine.terminal), "", redraw))
                     : PD_TRY(wait_for_end(engine.client));
  return finish_relay(end, place.name);
}

}  // namespace perdure::cli
