// A thread to trace from. Whatever it has seized and not let go of when it ends, the kernel lets go
// of in whatever state that is (exit_ptrace in kernel/ptrace.c): running, about to stop, stopped,
// or dead and not waited for. ptrace(2) alone can let go of stopped threads only, and a thread that
// does not stop, or has another number since execve(2), would stay ours.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>

#include "base/result.h"

namespace perdure::kernel {

// Runs body in such a thread, while the caller waits; its result. On return nothing is traced from
// it any more.
Status in_tracer_thread(const std::function<Status()>& body);

// What one of the calling thread's tracees has come to: a status as waitpid(2) gives it.
struct TraceEvent {
  pid_t tid = 0;
  int status = 0;
};
// The next one, if there is any; does not wait. Those of other threads, and children of ours that
// are not traced, are left alone.
std::optional<TraceEvent> next_trace_event();

// In the thread that in_tracer_thread() made: sleeps until this tracee has come to something. The
// ends of others, which can keep its own from being told (delay_group_leader in kernel/exit.c), are
// taken meanwhile; they must all rest. Nothing elsewhere, or if there is no such tracee.
bool is_tracer_thread();
std::optional<TraceEvent> await_trace_event(pid_t tid);

// What passes the time between two looks for something that comes soon. Yields while nobody else
// wants the processor; otherwise sleeps, as whoever gets it keeps it for milliseconds.
class Looks {
 public:
  void pause();
  bool many() const { return count_ > kMany; }

 private:
  static constexpr unsigned kMany = 200;
  unsigned count_ = 0;
};

// Waits for a tracee's end, if that has come; never for a stop: that is another one's to take, as
// by now the number may be that of another thread (execve(2)). False if it still lives.
bool bury_if_dead(pid_t tid);

// Says, as long as it lives, that the calling thread seizes a thread of this process.
class Seizing {
 public:
  explicit Seizing(pid_t pid);
  ~Seizing();
  Seizing(const Seizing&) = delete;
  Seizing& operator=(const Seizing&) = delete;
};

// The calling thread's own number, which is TracerPid in the status files of its tracees.
pid_t own_tid();

}  // namespace perdure::kernel
