// /proc/PID/timers: the POSIX timers of a process (proc_pid_timers(5), needs
// CONFIG_CHECKPOINT_RESTORE). It tells how a timer notifies; when it expires next only the process
// itself can ask (timer_gettime(2)).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perdure::kernel::proc {

struct Timer {
  int32_t id = 0;      // what timer_create(2) gave
  int32_t clock = 0;   // CLOCK_*; below zero: a CPU-time clock
  int32_t notify = 0;  // SIGEV_*, with SIGEV_THREAD_ID as a bit
  int32_t signal = 0;
  uint64_t value = 0;  // sigev_value
  pid_t notify_pid =
      0;  // the thread with SIGEV_THREAD_ID, else the process; in the reader's PID namespace
};

Result<std::vector<Timer>> parse_timers(std::string_view text);
Result<std::vector<Timer>> read_timers(pid_t pid);

}  // namespace perdure::kernel::proc
