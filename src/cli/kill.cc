#include "cli/context.h"
#include "cli/engine_of.h"

namespace perdure::cli {

Result<int> kill(const Context& context) {
  for (const std::string& name : context.arguments.names) {
    daemon::GroupPlace place = PD_TRY(context.places.find_group(name, context.arguments.store));
    PD_TRY(kill_group(context, place));
  }
  return 0;
}

}  // namespace perdure::cli
