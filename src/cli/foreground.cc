#include "cli/foreground.h"

#include <unistd.h>

#include "cli/output.h"
#include "kernel/daemonize.h"
#include "kernel/terminal_mode.h"

namespace perdure::cli {

bool on_terminal() {
  return kernel::is_terminal(STDIN_FILENO) && kernel::is_terminal(STDOUT_FILENO);
}

Status tell(std::string_view text) {
  return kernel::is_callers_own(STDOUT_FILENO) ? print(text) : Status(Ok{});
}

Result<int> launch(const Context& context, const daemon::GroupPlace& place,
                   daemon::EngineTask& task, Ground ground, Redraw redraw,
                   const std::function<Status(const control::Started&)>& launched) {
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
