// Who outside the group has a file open: a walk through /proc, for messages and for the rare cases
// that nothing else tells apart.
#include "capture/file_kinds.h"
#include "kernel/file.h"
#include "kernel/proc/read.h"

namespace perdure::capture {
namespace {

bool holds(pid_t pid, const struct stat& file) {
  const auto numbers = kernel::proc::list_numbers(kernel::proc::path_of(pid, "fd"));
  if (!numbers.ok()) return false;
  for (const int fd : *numbers) {
    const auto found = kernel::stat_path(kernel::path_of_fd(pid, fd));
    if (found.ok() && found->st_ino == file.st_ino && found->st_dev == file.st_dev) return true;
  }
  return false;
}

}  // namespace

std::string find_outside_holder(const FileContext& context, const struct stat& file) {
  const auto pids = kernel::proc::list_numbers("/proc");
  if (!pids.ok()) return {};
  const auto own = kernel::proc::read_link("/proc/self");
  for (const pid_t pid : *pids) {
    const bool ourselves = own.ok() && *own == std::to_string(pid);
    if (ourselves || context.is_member(pid) || !holds(pid, file)) continue;
    const auto comm = kernel::proc::read_text(kernel::proc::path_of(pid, "comm"));
    return "pid " + std::to_string(pid) +
           (comm.ok() ? " (" + std::string(kernel::proc::trimmed(*comm)) + ")" : std::string());
  }
  return {};
}

}  // namespace perdure::capture
