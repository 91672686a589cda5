#include <fmt/format.h>

#include "cli/context.h"
#include "cli/engine_of.h"
#include "cli/json.h"
#include "cli/output.h"

namespace perdure::cli {
namespace {

std::string report_json(const std::string& name, const engine::CheckpointReport& report) {
  JsonWriter json;
  json.begin_object().key("name").string(name).key("epoch").number(report.epoch.value);
  json.key("stop_us").number(report.stop_us).key("precopy_us").number(report.precopy_us);
  json.key("total_us").number(report.total_us).key("bytes_written").number(report.bytes_written);
  json.key("pages").number(report.pages).key("processes").number(report.processes);
  json.key("threads").number(report.threads).key("timing").raw(report.timing_json).end_object();
  return json.take();
}

}  // namespace

Result<int> checkpoint(const Context& context) {
  daemon::GroupPlace place = PD_TRY(the_group(context));
  daemon::Client client = PD_TRY(engine_of(place));
  const Arguments& arguments = context.arguments;
  auto report = PD_TRY(client.checkpoint(
      {.files = arguments.files, .durable = arguments.wait, .keep = arguments.keep.value_or(0)}));
  if (arguments.json) {
    PD_TRY(print(report_json(place.name, report)));
  } else {
    PD_TRY(print(fmt::format(
        "{}: epoch {}, stopped {}, {} {} in {}\n", place.name, report.epoch.value,
        duration_text(report.stop_us), bytes_text(report.bytes_written),
        arguments.wait ? "written" : "on their way to the disk", duration_text(report.total_us))));
  }
  return 0;
}

}  // namespace perdure::cli
