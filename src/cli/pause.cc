#include <fmt/format.h>

#include "cli/context.h"
#include "cli/engine_of.h"
#include "cli/json.h"
#include "cli/output.h"
#include "daemon/group_settings.h"

namespace perdure::cli {
namespace {

enum class Paused : uint8_t { kNo, kYes };

std::string period_json(const std::string& name, uint64_t period_ns, Paused paused) {
  JsonWriter json;
  json.begin_object().key("name").string(name).key("paused").boolean(paused == Paused::kYes);
  json.key("period_ns").number(period_ns).end_object();
  return json.take();
}

}  // namespace

Result<int> pause(const Context& context) {
  daemon::GroupPlace place = PD_TRY(the_group(context));
  daemon::Client client = PD_TRY(engine_of(place));
  PD_TRY(client.pause());
  const uint64_t period = daemon::read_settings(place.directory).every_ns;
  PD_TRY(print(context.arguments.json ? period_json(place.name, period, Paused::kYes)
                                      : fmt::format("{}: paused, it runs on\n", place.name)));
  return 0;
}

Result<int> resume(const Context& context) {
  daemon::GroupPlace place = PD_TRY(the_group(context));
  daemon::Client client = PD_TRY(engine_of(place));
  const uint64_t before = daemon::read_settings(place.directory).every_ns;
  const uint64_t period = context.arguments.every_ns.value_or(before);
  if (period == 0) {
    return Error(Code::kInvalid, "group " + place.name + " is not saved periodically")
        .with_remedy("say how often: perdure resume --every 100ms " + place.name);
  }
  PD_TRY(client.resume(context.arguments.every_ns.value_or(0)));
  PD_TRY(print(context.arguments.json ? period_json(place.name, period, Paused::kNo)
                                      : fmt::format("{}: saved every {}\n", place.name,
                                                    duration_text(period / 1000))));
  return 0;
}

}  // namespace perdure::cli
