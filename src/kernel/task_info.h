// What the kernel tells of another thread only through calls of its own: kcmp(2),
// get_robust_list(2), ptrace(2).
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/ids.h"
#include "base/result.h"
#include "kernel/abi/prctl.h"
#include "kernel/tracee.h"

namespace perdure::kernel {

// What two tasks may share (kcmp(2)); the values are the kernel's.
enum class Shared : int { kMemory = 1, kFiles = 2, kFilesystem = 3, kSignalHandlers = 4 };

// -1, 0 or 1: an order of the kernel's objects, the same until one of them goes; 0: both tasks use
// one object.
Result<int> kcmp(pid_t first, pid_t second, Shared what);

struct RobustList {
  RemoteAddr head;
  uint64_t length = 0;
};
Result<RobustList> get_robust_list(pid_t tid);

// The thread is seized and stopped. size 0: it has not registered one. kUnavailable before
// Linux 5.13.
Result<abi::RseqConfiguration> rseq_configuration(pid_t tid);

// The thread is seized and stopped. mode 0: off.
Result<abi::SyscallUserDispatchConfig> syscall_user_dispatch(pid_t tid);

// A thread stopped inside a restartable sequence must abort it: the kernel would do so itself when
// the thread runs on, but not once the thread has run anything else meanwhile, for example a batch,
// because that makes it forget the sequence. Moves the instruction pointer to the abort handler, as
// the kernel would. True if it moved. To be called on a stopped thread's own registers before any
// batch runs in it.
Result<bool> abort_restartable_sequence(pid_t tid, const abi::RseqConfiguration& rseq,
                                        Registers* registers);

// Our own speculation control (prctl(2), PR_GET_SPECULATION_CTRL), which our children inherit;
// -EINVAL or -ENODEV where the kernel or processor has none.
int64_t own_speculation_control(int which);
inline constexpr int kSpeculationControls = 3;

}  // namespace perdure::kernel
