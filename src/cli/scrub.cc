#include <fmt/format.h>
#include <unistd.h>

#include "cli/context.h"
#include "cli/json.h"
#include "cli/open_store.h"
#include "cli/output.h"
#include "kernel/terminal_mode.h"

namespace perdure::cli {
namespace {

// One line that moves, on a terminal only.
void show_progress(const store::ScrubProgress& progress) {
  if (!kernel::is_terminal(STDOUT_FILENO)) return;
  (void)print(fmt::format("\r{} of {} epochs, {} checked", progress.epochs_done,
                          progress.epochs_total, bytes_text(progress.bytes_checked)))
      .ok();
}

std::string report_json(const std::string& name, const store::ScrubReport& report) {
  JsonWriter json;
  json.begin_object().key("group").string(name).key("epochs").number(report.epochs);
  json.key("bytes_checked").number(report.bytes_checked).key("damage").begin_array();
  for (const auto& damage : report.damage) {
    json.begin_object()
        .key("epoch")
        .number(damage.epoch.value)
        .key("what")
        .string(damage.what)
        .end_object();
  }
  return json.end_array().end_object().take();
}

std::string report_text(const std::string& name, const store::ScrubReport& report) {
  std::string text = kernel::is_terminal(STDOUT_FILENO) ? "\r\x1b[K" : "";
  text += fmt::format("{}: {} {}, {} checked, {}\n", name, report.epochs,
                      report.epochs == 1 ? "epoch" : "epochs", bytes_text(report.bytes_checked),
                      report.damage.empty() ? "all is well" : "damage found");
  for (const auto& damage : report.damage)
    text += fmt::format("  epoch {}: {}\n", damage.epoch.value, damage.what);
  return text;
}

}  // namespace

Result<int> scrub(const Context& context) {
  daemon::GroupPlace place = PD_TRY(the_group(context));
  auto store = PD_TRY(open_store(place));
  bool json = context.arguments.json;
  auto report = PD_TRY(
      store->scrub(json ? std::function<void(const store::ScrubProgress&)>() : show_progress));
  PD_TRY(print(json ? report_json(place.name, report) : report_text(place.name, report)));
  return report.damage.empty() ? 0 : exit_status(Code::kCorrupt);
}

}  // namespace perdure::cli
