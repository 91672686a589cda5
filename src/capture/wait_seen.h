// When did a sleeping thread begin to wait? The kernel keeps a relative time limit to itself, so
// the answer is taken from the scheduler: se.exec_start in /proc/PID/task/TID/sched is when the
// thread last ran, on its processor's task clock (which lags CLOCK_MONOTONIC by a constant of that
// processor's own, mostly stolen time). Read before the thread is interrupted, because the
// interrupt wakes it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "capture/freeze.h"

namespace perdure::capture {

// Measures the lag of each processor's task clock once, by standing on it. Used by one thread at a
// time.
class TaskClock {
 public:
  // CLOCK_MONOTONIC nanoseconds for a task clock reading of a processor; 0 if it cannot be told.
  uint64_t monotonic_ns(double task_clock_ms, unsigned processor, const Clock& clock);

 private:
  struct Lag {
    bool known = false;
    int64_t ns = 0;
  };
  std::vector<Lag> lags_;
};

// For calls that may have a time limit (interrupted_call.h, blocked_call.h) also since when; for
// others the number only.
WaitSeen look_at_wait(pid_t pid, pid_t tid, TaskClock* task_clock, const Clock& clock);

// How often a thread went to sleep in its life; 0 if it cannot be told.
uint64_t count_sleeps(pid_t pid, pid_t tid);

}  // namespace perdure::capture
