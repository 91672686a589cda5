#include "cli/context.h"
#include "cli/engine_of.h"

namespace perdure::cli {

namespace {

Status kill_named(const Context& context, const std::string& name) {
  daemon::GroupPlace place = PD_TRY(context.places.find_group(name, context.arguments.store));
  return kill_group(context, place);
}

}  // namespace

Result<int> kill(const Context& context) { return for_each_name(context, "killed", kill_named); }

}  // namespace perdure::cli
