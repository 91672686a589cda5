// Thread records: what is read from outside of a seized, stopped thread (read_thread), and what
// only the thread itself can ask (ThreadQuery). Not filled here: registers, xstate, signal_mask,
// pending, blocked.
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "kernel/proc/status.h"
#include "kernel/tracee.h"
#include "object/process.pb.h"

namespace perdure::capture {

// pid and tid are the engine's. Returns the thread's status, for the checks of refusals.h.
Result<kernel::proc::TaskStatus> read_thread(pid_t pid, pid_t tid, object::Thread* record);
// The same with a status that was read already.
Status read_thread(pid_t tid, const kernel::proc::TaskStatus& status, object::Thread* record);

// Of it, what others change as well: scheduling. Whether the record is another one then.
Result<bool> read_scheduling(pid_t tid, object::Thread* record);

// Calls added to a batch that runs in this very thread.
class ThreadQuery {
 public:
  static ThreadQuery add(kernel::Batch* batch);
  Status decode(const kernel::Batch& batch, object::Thread* record) const;

 private:
  size_t altstack_ = 0, tid_address_ = 0, slack_ = 0, death_signal_ = 0, securebits_ = 0;
  RemoteAddr altstack_answer_, tid_address_answer_, death_signal_answer_;
};

}  // namespace perdure::capture
