// Scheduling and the out-of-memory score: set from outside by the engine, on its own numbers of the
// task, once the task needs to do no more work for the restore (it may become idle-priority, or be
// bound to a busy CPU).
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "object/process.pb.h"

namespace perdure::restore {

// Policy, nice, priority, affinity and I/O priority of one thread. Only what differs is set.
Status apply_scheduler(pid_t tid, const object::Thread& thread);

// oom_score_adj and coredump_filter of a process. Lowering the former asks for CAP_SYS_RESOURCE.
Status apply_process_settings(pid_t pid, const object::Process& process);

}  // namespace perdure::restore
