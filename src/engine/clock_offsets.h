// How far a process's clocks are from ours: the offsets of its time namespace (time_namespaces(7)).
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace perdure::engine {

struct ClockOffsets {
  int64_t monotonic_ns = 0;  // its CLOCK_MONOTONIC minus ours
  int64_t boottime_ns = 0;
};

// Zero where the kernel has no time namespaces.
ClockOffsets read_clock_offsets(pid_t pid);

}  // namespace perdure::engine
