#include "cli/context.h"

namespace perdure::cli {

Result<daemon::GroupPlace> the_group(const Context& context) {
  return context.places.find_group(context.arguments.name, context.arguments.store);
}

}  // namespace perdure::cli
