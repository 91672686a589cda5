#include <fmt/format.h>

#include "cli/context.h"
#include "cli/engine_of.h"
#include "cli/output.h"

namespace perdure::cli {

Result<int> detach(const Context& context) {
  daemon::GroupPlace place = PD_TRY(the_group(context));
  daemon::Client client = PD_TRY(engine_of(place));
  PD_TRY(client.detach());
  PD_TRY(print(fmt::format("{}: detached, it runs on\n", place.name)));
  return 0;
}

}  // namespace perdure::cli
