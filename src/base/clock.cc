#include "base/clock.h"

#include <ctime>

namespace perdure {
namespace {

uint64_t read_clock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000ull + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

uint64_t SystemClock::monotonic_ns() const { return read_clock(CLOCK_MONOTONIC); }
uint64_t SystemClock::realtime_ns() const { return read_clock(CLOCK_REALTIME); }

}  // namespace perdure
