#include "cli/engine_of.h"

#include "cli/foreground.h"
#include "daemon/group_tasks.h"
#include "daemon/living.h"

namespace perdure::cli {

Error no_engine(const daemon::GroupPlace& place) {
  if (daemon::find_living(place.directory)) {
    return Error(Code::kNotFound, "group " + place.name + " runs without an engine")
        .with_remedy("`perdure attach " + place.name + "` starts one that takes it over");
  }
  return Error(Code::kNotFound, "group " + place.name + " does not run")
      .with_remedy("`perdure restore " + place.name + "` brings its newest epoch back");
}

Result<daemon::Client> engine_of(const daemon::GroupPlace& place) {
  auto client = daemon::Client::connect(place);
  if (client.ok() || client.error().code() != Code::kNotFound) return client;
  return no_engine(place);
}

Status kill_group(const Context& context, const daemon::GroupPlace& place) {
  if (!daemon::Client::is_held(place)) {
    if (!daemon::find_living(place.directory)) return no_engine(place);
    daemon::TakeOverTask task(place);
    PD_TRY(launch(context, place, task, Ground::kBackground, Redraw::kNo,
                  [](const control::Started&) { return Status(Ok{}); }));
  }
  daemon::Client client = PD_TRY(daemon::Client::connect(place));
  auto ended = client.kill();
  // It may have ended by itself in that moment.
  if (!ended.ok() && !daemon::Client::is_held(place) && !daemon::find_living(place.directory))
    return Ok{};
  PD_TRY(std::move(ended));
  return Ok{};
}

}  // namespace perdure::cli
