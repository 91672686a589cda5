#include "cli/epoch_choice.h"

#include <fmt/format.h>

#include <algorithm>

namespace perdure::cli {
namespace {

using store::EpochInfo;

std::string epoch_count(const std::vector<EpochInfo>& epochs) {
  return fmt::format("{} epoch{}", epochs.size(), epochs.size() == 1 ? "" : "s");
}

// After a rewind, or where somebody set the clock, later numbers need not have later times.
Result<Epoch> captured_by(const std::vector<EpochInfo>& epochs, uint64_t limit_ns,
                          const std::string& group) {
  const EpochInfo* best = nullptr;
  for (const EpochInfo& info : epochs) {
    if (info.captured_realtime_ns > limit_ns) continue;
    if (best == nullptr || info.captured_realtime_ns >= best->captured_realtime_ns) best = &info;
  }
  if (best != nullptr) return best->epoch;
  auto [first, last] = std::minmax_element(
      epochs.begin(), epochs.end(), [](const EpochInfo& left, const EpochInfo& right) {
        return left.captured_realtime_ns < right.captured_realtime_ns;
      });
  return Error(Code::kNotFound,
               fmt::format("group {} has no epoch captured at or before {}; it has {}, captured "
                           "from {} (epoch {}) to {} (epoch {})",
                           group, moment_text(limit_ns), epoch_count(epochs),
                           moment_text(first->captured_realtime_ns), first->epoch.value,
                           moment_text(last->captured_realtime_ns), last->epoch.value))
      .with_remedy("`perdure log " + group + "` lists them");
}

}  // namespace

Result<Epoch> choose_epoch(const std::vector<EpochInfo>& epochs, const EpochChoice& choice,
                           uint64_t now_ns, const std::string& group) {
  if (epochs.empty()) {
    return Error(Code::kNotFound, "group " + group + " has no epoch yet")
        .with_remedy("`perdure checkpoint --wait " + group + "` makes one");
  }
  if (choice.at) return captured_by(epochs, PD_TRY(realtime_of(*choice.at, now_ns)), group);
  if (choice.back_ns) {
    uint64_t newest_ns = epochs.back().captured_realtime_ns;
    return captured_by(epochs, newest_ns - std::min(newest_ns, *choice.back_ns), group);
  }
  if (choice.number.value == 0) return epochs.back().epoch;
  for (const EpochInfo& info : epochs) {
    if (info.epoch == choice.number) return choice.number;
  }
  return Error(Code::kNotFound, fmt::format("group {} has no epoch {}; it has {} from {} to {}",
                                            group, choice.number.value, epoch_count(epochs),
                                            epochs.front().epoch.value, epochs.back().epoch.value))
      .with_remedy("`perdure log " + group + "` lists them");
}

}  // namespace perdure::cli
