// What every verb works with. One file per verb; each returns the exit status of the command.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/arguments.h"
#include "daemon/group_settings.h"
#include "daemon/places.h"

namespace perdure::cli {

struct Context {
  const Arguments& arguments;
  const daemon::Places& places;
  char** main_arguments = nullptr;  // for the engine's process title
  // Descriptors from 3 on that the user passed; for verbs that may start an engine.
  std::vector<int> inherited;
};

Result<int> run(const Context& context);
Result<int> attach(const Context& context);
Result<int> detach(const Context& context);
Result<int> checkpoint(const Context& context);
Result<int> restore(const Context& context);
Result<int> pause(const Context& context);
Result<int> resume(const Context& context);
Result<int> ps(const Context& context);
Result<int> log(const Context& context);
Result<int> kill(const Context& context);
Result<int> rm(const Context& context);
Result<int> show(const Context& context);
Result<int> dump(const Context& context);
Result<int> diff(const Context& context);
Result<int> scrub(const Context& context);
Result<int> check(const Context& context);

// Does one thing to every group named on the command line, also after one has failed: each error is
// told, the first one's exit status is the command's. done: with --json, the key that says of each
// group whether it was.
Result<int> for_each_name(
    const Context& context, std::string_view done,
    const std::function<Status(const Context&, const std::string& name)>& action);

// What the arguments say about how the group is saved from now on.
daemon::SettingsChange settings_of(const Arguments& arguments);

// The group that the arguments mean.
Result<daemon::GroupPlace> the_group(const Context& context);

}  // namespace perdure::cli
