#include "daemon/histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace perdure::daemon {

Histogram::Histogram(std::span<const uint64_t> counts) {
  std::copy_n(counts.begin(), std::min(counts.size(), kBuckets), counts_.begin());
}

uint64_t Histogram::upper_bound_us(size_t bucket) {
  return static_cast<uint64_t>(std::ceil(std::exp2(static_cast<double>(bucket + 1) / 4)));
}

void Histogram::add(uint64_t us) {
  size_t bucket = us < 1 ? 0 : static_cast<size_t>(std::log2(static_cast<double>(us)) * 4);
  bucket = std::min(bucket, kBuckets - 1);
  // Bounds are whole microseconds.
  while (bucket + 1 < kBuckets && us >= upper_bound_us(bucket)) ++bucket;
  ++counts_[bucket];
}

uint64_t Histogram::count() const {
  return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0});
}

uint64_t Histogram::quantile_us(double share) const {
  const uint64_t total = count();
  if (total == 0) return 0;
  const auto wanted = static_cast<uint64_t>(std::ceil(share * static_cast<double>(total)));
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += counts_[bucket];
    if (seen >= std::max<uint64_t>(wanted, 1)) return upper_bound_us(bucket);
  }
  return upper_bound_us(kBuckets - 1);
}

}  // namespace perdure::daemon
