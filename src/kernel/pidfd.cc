#include "kernel/pidfd.h"

#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace perdure::kernel {

Result<Fd> pidfd_open(pid_t pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) {
    const int why = errno;
    return Error::system(why, "open a pidfd of process", std::to_string(pid))
        .with_code(why == ESRCH ? Code::kGone : code_of_errno(why));
  }
  return Fd::adopt(static_cast<int>(fd));
}

void close_range(unsigned first, unsigned last) {
  (void)::syscall(SYS_close_range, first, last, 0);
}

void unregister_rseq() {
  if (__rseq_size == 0) return;
  char* area = static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
  // glibc registers 32 bytes at least; the flag is RSEQ_FLAG_UNREGISTER.
  (void)::syscall(SYS_rseq, area, __rseq_size < 32 ? 32 : __rseq_size, 1, RSEQ_SIG);
}

}  // namespace perdure::kernel
