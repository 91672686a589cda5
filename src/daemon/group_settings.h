// What the user chose for a group, kept in its folder so that every later engine does the same: how
// often epochs are made, how they are stored, which of them are kept, and where figures are served.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "store/store.h"

namespace perdure::daemon {

struct GroupSettings {
  store::CompressionKind compression = store::CompressionKind::kNone;
  std::optional<store::Retention> keep;  // none: all epochs stay, or periodic_retention()
  uint64_t every_ns = 0;                 // between epochs; 0: only on request
  uint16_t metrics_port = 0;             // on 127.0.0.1; 0: none
};

// Of a group that is saved periodically, if the user does not say: every epoch of the last second,
// one a second of the last minute, one a minute of the last hour, one an hour of the last week.
store::Retention periodic_retention();

// What the user says now; the rest stays as it was.
struct SettingsChange {
  std::optional<store::CompressionKind> compression = std::nullopt;
  std::optional<store::Retention> keep = std::nullopt;
  std::optional<uint64_t> every_ns = std::nullopt;
  std::optional<uint16_t> metrics_port = std::nullopt;

  bool says_something() const { return compression || keep || every_ns || metrics_port; }
};

// The defaults where there are none, or none that can be understood.
GroupSettings read_settings(const std::string& directory);
// Lasts, whatever happens to the machine.
Status write_settings(const std::string& directory, const GroupSettings& settings);
// Writes only if the change says something.
Result<GroupSettings> change_settings(const std::string& directory, const SettingsChange& change);

}  // namespace perdure::daemon
