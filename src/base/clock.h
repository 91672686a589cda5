// Time comes only through Clock, so that a test or a simulation can turn it by hand.
#pragma once

#include <cstdint>

namespace perdure {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual uint64_t monotonic_ns() const = 0;
  // Nanoseconds since 1970 (CLOCK_REALTIME).
  virtual uint64_t realtime_ns() const = 0;
};

class SystemClock final : public Clock {
 public:
  uint64_t monotonic_ns() const override;
  uint64_t realtime_ns() const override;
};

}  // namespace perdure
