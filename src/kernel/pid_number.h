// Whether a number can be given to a new process or thread (clone3(2) with set_tid).
#pragma once

#include <sys/types.h>

#include "base/result.h"

namespace perdure::kernel {

// True also while nothing in /proc has the number: it is the process group or session of somebody,
// or its last holder has not quite ended (Linux 6.15 and later give a number back after they took
// its task out of /proc; kernel/exit.c, release_task).
Result<bool> is_number_taken(pid_t number);

}  // namespace perdure::kernel
