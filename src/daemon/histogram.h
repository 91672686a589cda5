// Histogram of durations in buckets that grow by a quarter of a power of two each (19 %): what a
// hundred epochs a second leave of their stop windows.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace perdure::daemon {

class Histogram {
 public:
  static constexpr size_t kBuckets = 96;  // to 2^24 us, 16 s

  Histogram() = default;
  explicit Histogram(std::span<const uint64_t> counts);

  void add(uint64_t us);
  // The upper bound of the bucket in which a share (0 to 1) of all durations ends, in microseconds;
  // 0 without any.
  uint64_t quantile_us(double share) const;
  uint64_t count() const;
  const std::array<uint64_t, kBuckets>& counts() const { return counts_; }
  // Microseconds, exclusive.
  static uint64_t upper_bound_us(size_t bucket);

 private:
  std::array<uint64_t, kBuckets> counts_{};
};

}  // namespace perdure::daemon
