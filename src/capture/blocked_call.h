// A thread that was interrupted inside a blocking system call, settled: what it resumes with here,
// and what it is saved as. A call is undone and made again, never half done:
//  - ERESTARTSYS, -NOINTR, -NOHAND: the kernel undoes it here; the record holds it undone. If it
//  has a limit (select, pselect, ppoll), the kernel has written what was left at the stop; from the
//  second stop on that is corrected by the time for which the thread stood still.
//  - ERESTART_RESTARTBLOCK (nanosleep, poll, futex with a relative limit): the kernel continues it
//  here; the record holds
//    it undone, with the time that is left.
//  - EINTR from a call that the kernel never restarts (epoll_wait, sigtimedwait, ...; signal(7)):
//  undone here as well,
//    unless a signal that the thread does not block is pending. If it has a limit, the engine ends
//    it at its deadline.
// A call that is made again carries a mark in the upper half of rax, which the kernel ignores and
// keeps in orig_rax (feature call_marks): the next stop knows by it that the call is still the same
// one. Records hold no marks.
//  - a restartable sequence (rseq(2)) is aborted, as the kernel does on preemption.
// All functions: the thread is stopped and nothing was run in it yet.
#pragma once

#include <map>
#include <optional>

#include "base/result.h"
#include "capture/freeze.h"
#include "kernel/tracee.h"
#include "object/process.pb.h"

namespace perdure::capture {

// Remembers, from one epoch to the next, the deadlines of calls that go on.
class WaitBook {
 public:
  // Who ends the call at its deadline: the kernel, which knows it, or the engine, because the call
  // was made again with the whole of its limit (interrupted_call.h).
  enum class EndedBy : uint8_t { kKernel, kEngine };
  struct Wait {
    pid_t pid = 0;
    long number = 0;
    uint64_t deadline_ns = 0;  // CLOCK_MONOTONIC
    EndedBy ended_by = EndedBy::kKernel;
    uint64_t switches = 0;  // kEngine: sleeps of the thread before it goes on (count_sleeps)
    bool marked = false;    // the call that was made again is known by its mark
    uint64_t rip = 0, rsp = 0, rdi = 0, rsi = 0;

    bool same_call(const kernel::Registers& registers) const {
      return rip == registers.rip && rsp == registers.rsp && rdi == registers.rdi &&
             rsi == registers.rsi;
    }
    // The thread was let go, went to sleep in the call once, and still sleeps there.
    bool still_sleeps(const WaitSeen& seen) const {
      return seen.number == number && seen.switches == switches + 1;
    }
    // Without a stop more cannot be told of a thread that is on its way to sleep.
    bool may_go_on(const WaitSeen& seen) const {
      return marked ? seen.number == number || seen.number < 0 : still_sleeps(seen);
    }
    // Of a stopped thread: the registers of one that finds its limit passed; nothing if it is not
    // in this call.
    std::optional<kernel::Registers> ended(const kernel::Registers& registers) const;
  };
  // From now on calls are marked.
  void use_marks() { marks_ = true; }
  bool marks() const { return marks_; }
  // registers: as the interrupted thread has them, behind its call.
  const Wait* find(pid_t tid, const kernel::Registers& registers) const;
  void put(pid_t tid, Wait wait, const kernel::Registers& registers);
  // From a record, for a thread that has gone on from it.
  void put_saved(pid_t pid, pid_t tid, const object::Thread& thread, uint64_t deadline_ns);
  // Then, for one that is about to go on from it and has its registers.
  Status mark_saved(kernel::Tracee* tracee);
  // Just before the thread is let go.
  void set_switches(pid_t tid, uint64_t switches);
  void forget(pid_t tid) { waits_.erase(tid); }
  const std::map<pid_t, Wait>& waits() const { return waits_; }

 private:
  bool marks_ = false;
  std::map<pid_t, Wait> waits_;
};

struct SettledCall {
  kernel::Registers live;       // to resume with
  kernel::Registers saved;      // for the record
  object::BlockedCall blocked;  // number 0: none
};

struct SettleInput {
  pid_t pid = 0;
  kernel::Registers registers;
  WaitSeen wait;
  uint64_t now_ns = 0;              // CLOCK_MONOTONIC when the thread was interrupted
  uint64_t rested_ns = 0;           // not before that
  bool signal_deliverable = false;  // a pending signal that the thread does not block
};

// A pending signal that the thread does not block.
Result<bool> has_deliverable_signal(const kernel::Tracee& tracee);

// Settles the call that a stopped thread is in and gives the thread the registers to resume with.
Result<SettledCall> settle_thread(pid_t pid, kernel::Tracee& tracee, const WaitSeen& wait,
                                  uint64_t now_ns, WaitBook* book);

Result<SettledCall> settle_call(pid_t tid, const SettleInput& input, WaitBook* book);

}  // namespace perdure::capture
