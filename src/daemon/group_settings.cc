#include "daemon/group_settings.h"

#include <fmt/format.h>

#include "daemon/note_lines.h"
#include "kernel/folder.h"

namespace perdure::daemon {
namespace {

std::string path_in(const std::string& directory) { return directory + "/settings"; }

constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kMinuteNs = 60 * kSecondNs;
constexpr uint64_t kHourNs = 60 * kMinuteNs;

}  // namespace

store::Retention periodic_retention() {
  return {.newest = 1,
          .rules = {{.every_ns = 0, .for_ns = kSecondNs},
                    {.every_ns = kSecondNs, .for_ns = kMinuteNs},
                    {.every_ns = kMinuteNs, .for_ns = kHourNs},
                    {.every_ns = kHourNs, .for_ns = 7 * 24 * kHourNs}}};
}

GroupSettings read_settings(const std::string& directory) {
  GroupSettings settings;
  auto text = kernel::read_note(path_in(directory));
  if (!text.ok()) return settings;
  if (note_line_number(*text, "zstd") == 1) settings.compression = store::CompressionKind::kZstd;
  auto keep = store::parse_retention(note_line_text(*text, "keep"));
  if (keep.ok()) settings.keep = std::move(*keep);
  settings.every_ns = note_line_number(*text, "every_ns").value_or(0);
  const uint64_t port = note_line_number(*text, "metrics_port").value_or(0);
  if (port <= UINT16_MAX) settings.metrics_port = static_cast<uint16_t>(port);
  return settings;
}

Status write_settings(const std::string& directory, const GroupSettings& settings) {
  bool zstd = settings.compression == store::CompressionKind::kZstd;
  std::string text = fmt::format("zstd {}\nevery_ns {}\n", zstd ? 1 : 0, settings.every_ns);
  if (settings.metrics_port != 0) text += fmt::format("metrics_port {}\n", settings.metrics_port);
  if (settings.keep) text += "keep " + store::print_retention(*settings.keep) + "\n";
  return kernel::write_lasting_note(path_in(directory), text);
}

Result<GroupSettings> change_settings(const std::string& directory, const SettingsChange& change) {
  GroupSettings settings = read_settings(directory);
  if (!change.says_something()) return settings;
  settings.compression = change.compression.value_or(settings.compression);
  if (change.keep) settings.keep = change.keep;
  settings.every_ns = change.every_ns.value_or(settings.every_ns);
  settings.metrics_port = change.metrics_port.value_or(settings.metrics_port);
  PD_TRY(write_settings(directory, settings));
  return settings;
}

}  // namespace perdure::daemon
