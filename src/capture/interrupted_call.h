// Calls that a stop ends with EINTR, because the kernel never restarts them (signal(7),
// "Interruption of system calls and library functions by stop signals"), with their time limits.
// Such a call is made again with the whole of its limit, which is the program's own register or
// memory; the engine ends it when its first deadline is reached.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "kernel/tracee.h"

namespace perdure::capture {

bool may_be_interrupted(long number);

struct CallLimit {
  bool limited = false;
  uint64_t ns = 0;
};

// registers: behind the call, which returned EINTR (orig_rax is its number). Nothing if EINTR is
// the call's own answer.
Result<std::optional<CallLimit>> limit_of_interrupted_call(pid_t pid,
                                                           const kernel::Registers& registers);

// What the call returns when its limit has passed: 0, or a negative errno.
int64_t result_at_limit(long number);

}  // namespace perdure::capture
