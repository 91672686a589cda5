// Freeze: brings every thread of a group to rest. Seizing comes before the stop window and stops
// nothing; the window begins with the first interrupt. New threads and processes cannot escape:
// makers are seized, so what they make is attached by the kernel, and the set is scanned again
// until it is closed.
//
// A group is frozen in a thread of its own (tracer_thread.h), whose end lets go of everything, also
// of what did not come to rest. Frozen's destructor lets the group run on, on every path.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "kernel/proc/stat.h"
#include "kernel/proc/status.h"
#include "kernel/tracee.h"
#include "object/process.pb.h"

namespace perdure::capture {

// Which processes belong to the group, as pids in our namespace.
struct Scope {
  pid_t init = 0;  // every process below this one, without it (a group with its own PID namespace)
  std::vector<pid_t> roots;  // otherwise: these processes and everything below them
};

// A call that a thread was blocked in, seen before it was interrupted, with when it began to wait.
struct WaitSeen {
  long number = -1;              // -1: not asleep in a call
  uint64_t asleep_since_ns = 0;  // CLOCK_MONOTONIC; 0: unknown
  uint64_t switches = 0;  // how often it went to sleep in its life, this time included; 0: unknown
};

struct StoppedThread {
  kernel::Tracee tracee;
  kernel::Registers saved;  // for its record: a call that it was stopped in is undone
  object::BlockedCall
      blocked;  // and the limit of that call, if only the kernel or the engine knows it
  pid_t tid() const { return tracee.tid(); }
};

struct StoppedProcess {
  StoppedProcess() = default;
  StoppedProcess(StoppedProcess&&) = default;
  StoppedProcess& operator=(StoppedProcess&&) = default;
  // Lets the threads go, the leader last: a process that was killed meanwhile ends only when its
  // other threads have.
  ~StoppedProcess() {
    while (!threads.empty()) threads.pop_back();
  }

  pid_t pid = 0;
  uint64_t start_ticks = 0;  // /proc/PID/stat field 22: tells a reused pid apart
  bool zombie = false;
  kernel::proc::Stat stat;                         // as it stands still
  std::optional<kernel::proc::TaskStatus> status;  // the leader's, once it was read
  std::vector<StoppedThread> threads;              // the leader first; empty for a zombie
};

class Frozen {
 public:
  Frozen() = default;
  Frozen(Frozen&&) = default;
  Frozen& operator=(Frozen&&) = default;
  ~Frozen() { resume(); }

  std::vector<StoppedProcess>& processes() { return processes_; }  // parents before children
  uint64_t stopped_at_ns() const {
    return stopped_at_ns_;
  }  // CLOCK_MONOTONIC at the first interrupt
  StoppedProcess* find(pid_t pid);
  // Detaches every thread; the group runs. Those that a signal had stopped come first.
  void resume();

 private:
  friend class Freezer;
  std::vector<StoppedProcess> processes_;
  uint64_t stopped_at_ns_ = 0;
};

class TaskClock;
class WaitBook;

// Freezes the group, calls `body` in the thread that traces it, and lets it run on. kGone if the
// group has ended; kPermission if a debugger holds one of its threads; kBusy if a thread does not
// come to rest, as in a vfork(2) that does not end; otherwise what body says.
// Calls that threads are stopped in are settled (blocked_call.h), so that whatever happens to the
// Frozen, they go on.
Status while_frozen(const Scope& scope, TaskClock* task_clock, WaitBook* waits, const Clock& clock,
                    const std::function<Status(Frozen&)>& body);

// The processes of a group now, parents before children, zombies included.
Result<std::vector<pid_t>> list_processes(const Scope& scope);

}  // namespace perdure::capture
