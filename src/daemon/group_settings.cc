#include "daemon/group_settings.h"

#include <fmt/format.h>

#include "daemon/note_lines.h"
#include "kernel/folder.h"

namespace perdure::daemon {
namespace {

std::string path_in(const std::string& directory) { return directory + "/settings"; }

}  // namespace

GroupSettings read_settings(const std::string& directory) {
  GroupSettings settings;
  auto text = kernel::read_note(path_in(directory));
  if (!text.ok()) return settings;
  if (note_line_number(*text, "zstd") == 1) settings.compression = store::CompressionKind::kZstd;
  settings.keep = note_line_number(*text, "keep").value_or(0);
  return settings;
}

Status write_settings(const std::string& directory, const GroupSettings& settings) {
  bool zstd = settings.compression == store::CompressionKind::kZstd;
  return kernel::write_note(path_in(directory),
                            fmt::format("zstd {}\nkeep {}\n", zstd ? 1 : 0, settings.keep));
}

Result<GroupSettings> change_settings(const std::string& directory, const SettingsChange& change) {
  GroupSettings settings = read_settings(directory);
  if (!change.compression && !change.keep) return settings;
  settings.compression = change.compression.value_or(settings.compression);
  settings.keep = change.keep.value_or(settings.keep);
  PD_TRY(write_settings(directory, settings));
  return settings;
}

}  // namespace perdure::daemon
