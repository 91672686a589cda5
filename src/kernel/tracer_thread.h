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
