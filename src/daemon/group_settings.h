// What the user chose for a group, kept in its folder so that every later engine does the same: how
// epochs are stored and how many of them are kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "store/store.h"

namespace perdure::daemon {

struct GroupSettings {
  store::CompressionKind compression = store::CompressionKind::kNone;
  uint64_t keep = 0;  // the newest epochs that stay; 0: all
};

// What the user says now; the rest stays as it was.
struct SettingsChange {
  std::optional<store::CompressionKind> compression;
  std::optional<uint64_t> keep;
};

// The defaults where there are none, or none that can be understood.
GroupSettings read_settings(const std::string& directory);
Status write_settings(const std::string& directory, const GroupSettings& settings);
// Writes only if the change says something.
Result<GroupSettings> change_settings(const std::string& directory, const SettingsChange& change);

}  // namespace perdure::daemon
