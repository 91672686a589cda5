// Interval timers (getitimer(2)) and POSIX timers (timer_create(2)) of a process. How a POSIX timer
// notifies is in /proc/PID/timers; the time left to the next expiry, only the process can ask.
#pragma once

#include <array>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "kernel/pid_map.h"
#include "kernel/proc/timers.h"
#include "kernel/tracee.h"
#include "object/process.pb.h"

namespace perdure::capture {

// One call each has to fit into the leader's batch beside all others (BatchArea::kCallsMax).
inline constexpr size_t kPosixTimersMax = 250;

// Puts what /proc/PID/timers tells into the record, by id; the thread that a timer notifies becomes
// the program's own number. A timer on the CPU time of "the calling thread" is refused in a process
// with several threads: which one created it, and is measured, cannot be read.
Status put_posix_timers(std::vector<kernel::proc::Timer> timers, uint32_t threads,
                        kernel::PidMap* pids, object::Process* record);

// Calls added to a batch that runs in any thread of the stopped process.
class TimerQuery {
 public:
  // The record holds the process's POSIX timers already.
  static TimerQuery add(const object::Process& record, kernel::Batch* batch);
  Status decode(const kernel::Batch& batch, object::Process* record) const;

 private:
  struct Asked {
    size_t call;
    RemoteAddr answer;
  };
  std::array<Asked, 3> intervals_ = {};
  std::vector<Asked> timers_;  // as posix_timers in the record
};

}  // namespace perdure::capture
