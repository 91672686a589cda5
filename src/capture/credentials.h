// Credentials of one thread: each thread has its own in the kernel, though libc keeps those of a
// process equal. They are saved and restored by thread, so threads that differ need no special
// care.
#pragma once

#include "kernel/proc/status.h"
#include "object/process.pb.h"

namespace perdure::capture {

// Everything but securebits, which only the thread itself can ask for (ThreadQuery).
void put_credentials(const kernel::proc::TaskStatus& status, object::Credentials* record);

}  // namespace perdure::capture
