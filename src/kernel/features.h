// What this kernel and these privileges allow, each found out by trying it once, when first asked
// for. A feature named in PERDURE_DISABLE (by commas) counts as missing, so that every fallback can
// be forced. One thread owns a Features.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perdure::kernel {

enum class Feature : size_t {
  // Privileges.
  kPtrace,
  kNamespaces,
  kChangeIds,
  kRaiseLimits,
  kRaisePriority,
  // Stopping and reading a program.
  kCheckpointFiles,
  kKcmp,
  kPidfdGetfd,
  kRseqConfiguration,
  kUnixDiag,
  kCallMarks,
  kTaskImages,
  // Memory.
  kPagemapScan,
  kWpAsync,
  kSoftDirty,
  kWriteGuide,
  kMemfd,
  // Bringing it back.
  kSetTid,
  kMmMap,
  kTimerIds,
  kTimeNamespace,
  kLazyRestore,
  kUserNamespace,
  // The store.
  kIoUring,
};
inline constexpr size_t kFeatureCount = 24;

enum class Need : uint8_t { kRequired, kOptional };

struct FeatureInfo {
  Feature feature;
  const char* name;  // for PERDURE_DISABLE, check and docs/kernel.md
  const char* what;  // what it is, and since when
  Need need;
  const char* consequence;  // of its absence
  const char* remedy;
};

// All features, in the order of their numbers.
std::span<const FeatureInfo> feature_table();
const FeatureInfo& feature_info(Feature feature);

class Features {
 public:
  // disabled: names, by commas. kInvalid for a name that is none.
  static Result<Features> create(std::string_view disabled);
  // With what PERDURE_DISABLE says.
  static Result<Features> from_environment();

  bool has(Feature feature) const;
  bool disabled(Feature feature) const { return disabled_[static_cast<size_t>(feature)]; }
  // kUnavailable or kPermission, with the consequence and remedy, if a feature is missing.
  Status require(Feature feature) const;

 private:
  Features() = default;
  std::bitset<kFeatureCount> disabled_;
  mutable std::array<std::optional<bool>, kFeatureCount> known_;
};

// Facts that decide some of the features; for `check`.
struct Privileges {
  uint32_t effective_uid = 0;
  uint64_t capabilities = 0;          // effective
  int yama_ptrace_scope = -1;         // kernel.yama.ptrace_scope; -1: this kernel has no Yama
  int unprivileged_userfaultfd = -1;  // vm.unprivileged_userfaultfd; -1: not there
  bool has(int capability) const { return (capabilities >> capability & 1) != 0; }
  // The capabilities that are missing from root's full set, by name.
  std::vector<std::string> missing_capabilities() const;
};
Result<Privileges> read_privileges();

// Whether files in this folder can be written with O_DIRECT; without it the store goes through the
// page cache.
Result<bool> supports_direct_io(const std::string& folder);

}  // namespace perdure::kernel
