// What an engine counts since it began, made into what a person watches: rates and stop windows of
// the last seconds. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>

#include "object/control.pb.h"

namespace perdure::cli {

struct WatchSample {
  uint64_t at_ns = 0;  // CLOCK_MONOTONIC
  control::Persistence counts;
};

// Stop windows by powers of two of microseconds: shorter than 64 us, 128 us, ... 1 s, and longer.
inline constexpr size_t kStopClasses = 16;

struct WatchFigures {
  double epochs_per_s = 0;
  double dirty_per_s = 0;    // bytes
  double written_per_s = 0;  // bytes
  std::optional<uint64_t> stop_p50_us, stop_p99_us;
  std::array<uint64_t, kStopClasses> stops{};
};

// Between two samples of one engine. Where `before` is of an engine that has gone, or there is
// none, since the engine of `now` began.
WatchFigures figures_of(const WatchSample* before, const WatchSample& now);

// The samples of one group, as far back as its figures reach.
class WatchHistory {
 public:
  static constexpr uint64_t kReachNs = 10'000'000'000;

  void add(WatchSample sample);
  // Some sample has been added.
  const WatchSample& newest() const { return samples_.back(); }
  WatchFigures figures() const;

 private:
  std::deque<WatchSample> samples_;
};

}  // namespace perdure::cli
