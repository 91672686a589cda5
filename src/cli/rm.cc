#include "cli/context.h"
#include "cli/engine_of.h"
#include "daemon/client.h"
#include "daemon/living.h"
#include "kernel/folder.h"

namespace perdure::cli {
namespace {

Status remove_group(const Context& context, const std::string& name) {
  daemon::GroupPlace place = PD_TRY(context.places.find_group(name, context.arguments.store));
  bool runs = daemon::Client::is_held(place) || daemon::find_living(place.directory).has_value();
  if (runs && !context.arguments.force) {
    return Error(Code::kBusy, "group " + name + " is running")
        .with_remedy("`perdure kill " + name + "` ends it first; `perdure rm --force " + name +
                     "` does both");
  }
  if (runs) PD_TRY(kill_group(context, place));
  PD_TRY(kernel::remove_tree(place.directory));
  context.places.forget(place);
  return Ok{};
}

}  // namespace

Result<int> rm(const Context& context) { return for_each_name(context, "removed", remove_group); }

}  // namespace perdure::cli
