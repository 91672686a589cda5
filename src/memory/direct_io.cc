#include "memory/direct_io.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kernel/proc/fdinfo.h"
#include "kernel/proc/read.h"
#include "kernel/task_images.h"

namespace perdure::memory {

namespace {

// Sockets, pipes and the like have no path; a pipe's O_DIRECT means packets.
bool reads_directly(const kernel::FileImage& image) {
  const mode_t type = image.mode & S_IFMT;
  return (image.flags & O_DIRECT) != 0 && type != 0 && type != S_IFIFO && type != S_IFSOCK;
}

Result<bool> ask_each(pid_t pid) {
  std::string folder = kernel::proc::path_of(pid, "fd");
  std::vector<pid_t> numbers = PD_TRY(kernel::proc::list_numbers(folder));
  for (int number : numbers) {
    // A descriptor may be closed meanwhile.
    Result<std::string> link = kernel::proc::read_link(folder + "/" + std::to_string(number));
    if (!link.ok() || !link->starts_with('/')) continue;
    Result<kernel::proc::Fdinfo> info = kernel::proc::read_fdinfo(pid, number);
    if (info.ok() && (info->flags & O_DIRECT) != 0) return true;
  }
  return false;
}

}  // namespace

Result<bool> may_read_directly(pid_t pid, kernel::LazyTaskImages* images) {
  kernel::FileImages* const files = images != nullptr ? images->files() : nullptr;
  if (files == nullptr) return ask_each(pid);
  const auto look = files->look(pid);
  if (!look.ok() || look->empty()) return ask_each(pid);
  return std::any_of(look->begin(), look->end(), reads_directly);
}

}  // namespace perdure::memory
