#include "kernel/daemonize.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/fd.h"
#include "base/limits.h"

namespace perdure::kernel {
namespace {

void wait_for_child(pid_t child) {
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// The end of the memory that holds the arguments and, directly behind them, the environment
// (execve(2) lays them so).
char* arguments_end(char** arguments) {
  char* end = arguments[0];
  for (char** at = arguments; *at != nullptr; ++at) {
    if (*at == end) end = *at + std::strlen(*at) + 1;
  }
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    if (*at == end) end = *at + std::strlen(*at) + 1;
  }
  return end;
}

// Copies every variable to the heap. They live as long as the process does.
void move_environment() {
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    char* copy = ::strdup(*at);
    if (copy != nullptr) *at = copy;
  }
}

}  // namespace

Result<Side> fork_daemon() {
  // The one between shares our memory and runs while we stand still: it only makes the other.
  pid_t first = ::vfork();  // NOLINT(clang-analyzer-security.insecureAPI.vfork)
  if (first < 0) return Error::system(errno, "fork the engine");
  if (first > 0) {
    wait_for_child(first);
    return Side::kCaller;
  }
  ::setsid();  // NOLINT(clang-analyzer-unix.Vfork): a system call and nothing else, as below
  pid_t second = ::fork();
  if (second != 0) ::_exit(second < 0 ? 1 : 0);
  return Side::kDaemon;
}

Status silence(int number) {
  Fd null = Fd::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!null.valid()) return Error::system(errno, "open", "/dev/null");
  // dup2 would leave the close-on-exec flag of an fd that happens to be the number itself.
  if (null.get() == number) {
    ::fcntl(null.release(), F_SETFD, 0);
    return Ok{};
  }
  if (::dup2(null.get(), number) < 0) return Error::system(errno, "redirect a standard stream");
  return Ok{};
}

Status leave_caller() {
  for (int number = 0; number <= 2; ++number) PD_TRY(silence(number));
  if (::chdir("/") < 0) return Error::system(errno, "change to", "/");
  return Ok{};
}

bool is_callers_own(int number) {
  struct stat status;
  if (::fstat(number, &status) < 0) return true;
  if (S_ISSOCK(status.st_mode) || ::isatty(number) == 1) return true;
  if (!S_ISFIFO(status.st_mode)) return false;
  char target[64] = {};
  std::string link = "/proc/self/fd/" + std::to_string(number);
  ssize_t size = ::readlink(link.c_str(), target, sizeof(target) - 1);
  return size > 0 && std::strncmp(target, "pipe:[", 6) == 0;
}

std::vector<int> inherited_descriptors() {
  std::vector<int> numbers;
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return numbers;
  int own = ::dirfd(folder);
  while (const dirent* entry = ::readdir(folder)) {
    int number = std::atoi(entry->d_name);
    if (number > 2 && number != own) numbers.push_back(number);
    if (numbers.size() >= kFdsPerProcessMax) break;
  }
  ::closedir(folder);
  return numbers;
}

void close_descriptors(const std::vector<int>& numbers) {
  for (int number : numbers) ::close(number);
}

void set_process_title(char** arguments, const std::string& title, const std::string& comm) {
  char* begin = arguments[0];
  size_t room = static_cast<size_t>(arguments_end(arguments) - begin);
  move_environment();
  if (room > 0) {
    std::memset(begin, 0, room);
    std::memcpy(begin, title.data(), std::min(title.size(), room - 1));
  }
  ::prctl(PR_SET_NAME, comm.c_str());
}

}  // namespace perdure::kernel
