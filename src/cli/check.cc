#include <fmt/format.h>

#include "cli/context.h"
#include "cli/json.h"
#include "cli/output.h"
#include "kernel/features.h"

namespace perdure::cli {
namespace {

using kernel::FeatureInfo;
using kernel::Features;
using kernel::Need;

const char* state_text(const Features& features, const FeatureInfo& info) {
  if (features.disabled(info.feature)) return "off";
  return features.has(info.feature) ? "yes" : "no";
}

std::string table_text(const Features& features) {
  Table table;
  table.column("FEATURE", Align::kLeft).column("HERE", Align::kLeft).column("NEEDED", Align::kLeft);
  table.column("WHAT", Align::kLeft);
  for (const FeatureInfo& info : kernel::feature_table()) {
    table.row({info.name, state_text(features, info), info.need == Need::kRequired ? "yes" : "no",
               info.what});
  }
  return table.text();
}

std::string missing_text(const Features& features) {
  std::string text;
  for (const FeatureInfo& info : kernel::feature_table()) {
    if (features.has(info.feature)) continue;
    text += fmt::format("\n{} is missing\n  consequence: {}\n  remedy: {}\n", info.name,
                        info.consequence, info.remedy);
  }
  return text;
}

std::string json_text(const Features& features) {
  JsonWriter json;
  json.begin_array();
  for (const FeatureInfo& info : kernel::feature_table()) {
    json.begin_object().key("feature").string(info.name).key("here").boolean(
        features.has(info.feature));
    json.key("disabled").boolean(features.disabled(info.feature));
    json.key("needed").boolean(info.need == Need::kRequired).key("what").string(info.what);
    json.key("consequence").string(info.consequence).key("remedy").string(info.remedy).end_object();
  }
  return json.end_array().take();
}

bool is_enough(const Features& features) {
  for (const FeatureInfo& info : kernel::feature_table()) {
    if (info.need == Need::kRequired && !features.has(info.feature)) return false;
  }
  return true;
}

}  // namespace

Result<int> check(const Context& context) {
  Features features = PD_TRY(Features::from_environment());
  bool enough = is_enough(features);
  if (context.arguments.json) {
    PD_TRY(print(json_text(features)));
  } else {
    const char* verdict =
        enough ? "Groups can be saved and restored here."
               : "Groups cannot be saved and restored here: something that is needed is missing.";
    PD_TRY(print(table_text(features) + missing_text(features) + "\n" + verdict + "\n"));
  }
  return enough ? 0 : exit_status(Code::kUnavailable);
}

}  // namespace perdure::cli
