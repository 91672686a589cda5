#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "cli/context.h"
#include "cli/foreground.h"
#include "cli/output.h"
#include "daemon/group_name.h"
#include "daemon/group_tasks.h"
#include "kernel/folder.h"
#include "kernel/terminal_mode.h"

namespace perdure::cli {
namespace {

Result<daemon::GroupPlace> place_of_new(const Context& context) {
  const Arguments& arguments = context.arguments;
  std::string name = arguments.name;
  if (name.empty()) {
    name = daemon::name_for_command(arguments.command.front(), [&](const std::string& tried) {
      return kernel::exists(context.places.place(tried, arguments.store).directory);
    });
  }
  PD_TRY(daemon::check_group_name(name));
  return context.places.place(name, arguments.store);
}

Result<engine::StartOptions> start_options(const Arguments& arguments, const std::string& name,
                                           Ground ground) {
  engine::StartOptions options;
  options.name = name;
  options.command = arguments.command;
  for (char** variable = environ; *variable != nullptr; ++variable)
    options.environment.emplace_back(*variable);
  std::error_code error;
  options.cwd = std::filesystem::current_path(error).string();
  if (error) return Error::system(error.value(), "find the working folder");
  if (ground == Ground::kForeground && on_terminal()) {
    options.terminal = engine::Terminal::kNew;
    auto size = kernel::window_size(STDOUT_FILENO).value_or(kernel::WindowSize{});
    options.terminal_size = {size.rows, size.columns};
  }
  return options;
}

}  // namespace

Result<int> run(const Context& context) {
  Ground ground = context.arguments.background ? Ground::kBackground : Ground::kForeground;
  daemon::GroupPlace place = PD_TRY(place_of_new(context));
  auto options = PD_TRY(start_options(context.arguments, place.name, ground));
  auto streams = ground == Ground::kBackground ? daemon::CallersStreams::kSilence
                                               : daemon::CallersStreams::kKeep;
  daemon::StartTask task(place, std::move(options), streams, settings_of(context.arguments));
  return launch(context, place, task, ground, Redraw::kNo, [&](const control::Started& started) {
    if (context.arguments.json) {
      return print(holding_json(place.name,
                                {started.engine_pid(), started.root_pid(), started.processes()}));
    }
    return tell(fmt::format("{}: running, process {}\n", place.name, started.root_pid()));
  });
}

}  // namespace perdure::cli
