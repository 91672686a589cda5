// The parts of stop windows, as the epochs' notes hold them, side by side.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/epoch_rows.h"

namespace perdure::cli {

struct TimingTable {
  // The whole window first ("stop_us"), then each part in the order in which it was first met.
  std::vector<std::string> parts;
  // A row for each epoch, as wide as parts; microseconds.
  std::vector<std::vector<std::optional<uint64_t>>> rows;

  // Of all epochs that have this part.
  std::optional<uint64_t> percentile(const std::string& part, double share) const;
};

inline constexpr const char* kWholeWindow = "stop_us";

TimingTable timing_of(const std::vector<EpochRow>& rows);

}  // namespace perdure::cli
