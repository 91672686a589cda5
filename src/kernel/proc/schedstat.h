// /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst): how much a thread has
// run. Both figures are brought up to date when it leaves a processor, so of a thread that is
// asleep they are exact, and those of one that is running say nothing yet.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace perdure::kernel::proc {

struct RunTime {
  uint64_t run_ns = 0;
  uint64_t slices = 0;  // how often it got a processor
  bool operator==(const RunTime&) const = default;
};

Result<RunTime> parse_run_time(std::string_view text);
// kUnavailable without CONFIG_SCHED_INFO.
Result<RunTime> read_run_time(pid_t pid, pid_t tid);

}  // namespace perdure::kernel::proc
