#include <fmt/format.h>

#include "cli/context.h"
#include "cli/engine_of.h"
#include "cli/json.h"
#include "cli/output.h"

namespace perdure::cli {

Result<int> detach(const Context& context) {
  daemon::GroupPlace place = PD_TRY(the_group(context));
  daemon::Client client = PD_TRY(engine_of(place));
  PD_TRY(client.detach());
  if (!context.arguments.json) {
    PD_TRY(print(fmt::format("{}: detached, it runs on\n", place.name)));
    return 0;
  }
  JsonWriter json;
  json.begin_object().key("name").string(place.name).key("detached").boolean(true).end_object();
  PD_TRY(print(json.take()));
  return 0;
}

}  // namespace perdure::cli
