// Descriptors of processes, and what a fork of our own sheds before it becomes something else.
#pragma once

#include <sys/types.h>

#include "base/fd.h"
#include "base/result.h"

namespace perdure::kernel {

// Close-on-exec. kGone if there is no such process (pidfd_open(2)).
Result<Fd> pidfd_open(pid_t pid);
// Closes our own descriptors first to last, both included (close_range(2)).
void close_range(unsigned first, unsigned last);
// Gives up the restartable sequence that libc registered for the calling thread (rseq(2)): a fork
// inherits the registration, and with it the wish that its memory stays mapped.
void unregister_rseq();

}  // namespace perdure::kernel
