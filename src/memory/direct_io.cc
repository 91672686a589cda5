#include "memory/direct_io.h"

#include <fcntl.h>

#include <string>
#include <vector>

#include "kernel/proc/fdinfo.h"
#include "kernel/proc/read.h"

namespace perdure::memory {

Result<bool> may_read_directly(pid_t pid) {
  std::string folder = kernel::proc::path_of(pid, "fd");
  std::vector<pid_t> numbers = PD_TRY(kernel::proc::list_numbers(folder));
  for (int number : numbers) {
    // Sockets, pipes and the like have no path; a pipe's O_DIRECT means packets. A descriptor may
    // be closed meanwhile.
    Result<std::string> link = kernel::proc::read_link(folder + "/" + std::to_string(number));
    if (!link.ok() || !link->starts_with('/')) continue;
    Result<kernel::proc::Fdinfo> info = kernel::proc::read_fdinfo(pid, number);
    if (info.ok() && (info->flags & O_DIRECT) != 0) return true;
  }
  return false;
}

}  // namespace perdure::memory
