// A thread that was interrupted inside a blocking system call, settled: what it resumes with here,
// and what it is saved as. A call is undone and made again, never half done:
//  - ERESTARTSYS, -NOINTR, -NOHAND: the kernel undoes it here; the record holds it undone.
//  - ERESTART_RESTARTBLOCK (nanosleep, poll, futex with a relative limit): the kernel continues it
//  here; the record holds
//    it undone, with the time that is left.
//  - EINTR from a call that the kernel never restarts (epoll_wait, sigtimedwait; signal(7)): undone
//  here as well, unless
//    a signal that the thread does not block is pending. epoll_wait's limit is a register and is
//    lowered to what is left.
// All functions: the thread is stopped and nothing was run in it yet.
#pragma once

#include <map>

#include "base/result.h"
#include "capture/freeze.h"
#include "kernel/tracee.h"
#include "object/process.pb.h"

namespace perdure::capture {

// Remembers, from one epoch to the next, the deadlines of calls that go on.
class WaitBook {
 public:
  struct Wait {
    long number = 0;
    uint64_t deadline_ns = 0;  // CLOCK_MONOTONIC
    uint64_t rip = 0, rsp = 0, rdi = 0, rsi = 0;
  };
  const Wait* find(pid_t tid, const kernel::Registers& registers) const;
  void put(pid_t tid, const kernel::Registers& registers, long number, uint64_t deadline_ns);
  void forget(pid_t tid) { waits_.erase(tid); }

 private:
  std::map<pid_t, Wait> waits_;
};

struct SettledCall {
  kernel::Registers live;       // to resume with
  kernel::Registers saved;      // for the record
  object::BlockedCall blocked;  // number 0: none
};

struct SettleInput {
  kernel::Registers registers;
  WaitSeen wait;
  uint64_t now_ns = 0;              // CLOCK_MONOTONIC when the thread was interrupted
  bool signal_deliverable = false;  // a pending signal that the thread does not block
};

Result<SettledCall> settle_call(pid_t tid, const SettleInput& input, WaitBook* book);

}  // namespace perdure::capture
