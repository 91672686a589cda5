#include "kernel/spawn.h"

#include <linux/sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "kernel/proc/read.h"

namespace perdure::kernel {

Result<Spawned> spawn(const SpawnOptions& options, const std::function<int()>& body) {
  int pidfd = -1;
  pid_t wanted = options.pid;
  clone_args args{};
  args.flags = options.flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  // With CLONE_PARENT the child's exit signal is that of the caller (clone(2)).
  const bool sibling = (options.flags & CLONE_PARENT) != 0;
  args.exit_signal = sibling ? 0 : static_cast<uint64_t>(options.exit_signal);
  if (wanted != 0) {
    args.set_tid = reinterpret_cast<uint64_t>(&wanted);
    args.set_tid_size = 1;
  }
  long pid = syscall(SYS_clone3, &args, sizeof(args));
  if (pid == 0) _exit(body());
  if (pid < 0) {
    if (errno == EEXIST)
      return Error(Code::kExists, "pid " + std::to_string(wanted) + " is in use");
    return Error::system(errno, "clone3", wanted != 0 ? "with pid " + std::to_string(wanted) : "");
  }
  return Spawned{static_cast<pid_t>(pid), Fd::adopt(pidfd)};
}

namespace {

std::string offset_line(const char* clock, int64_t ns) {
  // Nanoseconds are written as a whole number of 0 to 999,999,999; seconds may be negative.
  int64_t seconds = ns / 1'000'000'000;
  int64_t rest = ns % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  return std::string(clock) + " " + std::to_string(seconds) + " " + std::to_string(rest) + "\n";
}

}  // namespace

Status enter_time_namespace_for_children(int64_t monotonic_offset_ns, int64_t boottime_offset_ns) {
  if (unshare(CLONE_NEWTIME) != 0) return Error::system(errno, "unshare", "the time namespace");
  return proc::write_text(
      "/proc/self/timens_offsets",
      offset_line("monotonic", monotonic_offset_ns) + offset_line("boottime", boottime_offset_ns));
}

}  // namespace perdure::kernel
