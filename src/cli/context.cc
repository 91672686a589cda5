#include "cli/context.h"

#include "cli/json.h"
#include "cli/output.h"

namespace perdure::cli {

Result<daemon::GroupPlace> the_group(const Context& context) {
  return context.places.find_group(context.arguments.name, context.arguments.store);
}

daemon::SettingsChange settings_of(const Arguments& arguments) {
  daemon::SettingsChange change;
  change.keep = arguments.retention;
  change.every_ns = arguments.every_ns;
  change.metrics_port = arguments.metrics_port;
  if (arguments.compress) {
    change.compression =
        *arguments.compress ? store::CompressionKind::kZstd : store::CompressionKind::kNone;
  }
  return change;
}

Result<int> for_each_name(
    const Context& context, std::string_view done,
    const std::function<Status(const Context&, const std::string& name)>& action) {
  int status = 0;
  JsonWriter json;
  json.begin_array();
  for (const std::string& name : context.arguments.names) {
    Status result = action(context, name);
    json.begin_object().key("name").string(name).key(done).boolean(result.ok()).key("error");
    result.ok() ? json.null() : json.string(result.error().message());
    json.end_object();
    if (result.ok()) continue;
    print_error(result.error());
    if (status == 0) status = exit_status(result.error().code());
  }
  if (context.arguments.json) PD_TRY(print(json.end_array().take()));
  return status;
}

}  // namespace perdure::cli
