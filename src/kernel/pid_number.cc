#include "kernel/pid_number.h"

#include <fcntl.h>

#include <cerrno>
#include <string>

#include "base/fd.h"

namespace perdure::kernel {

// The owner of a file may be any number that is in use, with or without a task (fcntl(2),
// F_SETOWN_EX).
Result<bool> is_number_taken(pid_t number) {
  const Fd file = Fd::adopt(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Error::system(errno, "open", "/dev/null");
  const f_owner_ex owner{F_OWNER_PID, number};
  if (::fcntl(file.get(), F_SETOWN_EX, &owner) == 0) return true;
  if (errno == ESRCH) return false;
  return Error::system(errno, "look for pid", std::to_string(number));
}

}  // namespace perdure::kernel
