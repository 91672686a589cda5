#include "cli/context.h"

#include "cli/output.h"

namespace perdure::cli {

Result<daemon::GroupPlace> the_group(const Context& context) {
  return context.places.find_group(context.arguments.name, context.arguments.store);
}

daemon::SettingsChange settings_of(const Arguments& arguments) {
  daemon::SettingsChange change;
  change.keep = arguments.retention;
  change.every_ns = arguments.every_ns;
  if (arguments.compress) {
    change.compression =
        *arguments.compress ? store::CompressionKind::kZstd : store::CompressionKind::kNone;
  }
  return change;
}

Result<int> for_each_name(
    const Context& context,
    const std::function<Status(const Context&, const std::string& name)>& action) {
  int status = 0;
  for (const std::string& name : context.arguments.names) {
    Status done = action(context, name);
    if (done.ok()) continue;
    print_error(done.error());
    if (status == 0) status = exit_status(done.error().code());
  }
  return status;
}

}  // namespace perdure::cli
