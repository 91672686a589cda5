#include "capture/wait_seen.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "capture/interrupted_call.h"
#include "kernel/proc/read.h"

namespace perdure::capture {
namespace {

constexpr unsigned kProcessorsMax = 8192;  // CONFIG_NR_CPUS of distribution kernels

// "name   :   123.456" in the text of a sched file; negative if it is not there.
double sched_field(const std::string& text, const char* name) {
  size_t at = text.find(name);
  if (at == std::string::npos) return -1;
  size_t colon = text.find(':', at);
  return colon == std::string::npos ? -1 : std::strtod(text.c_str() + colon + 1, nullptr);
}

bool may_have_limit(long number) {
  switch (number) {
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_poll:
    case SYS_futex:
    case SYS_restart_syscall:
      return true;
    default:
      return may_be_interrupted(number);
  }
}

double own_task_clock_ms() {
  Result<std::string> text = kernel::proc::read_text("/proc/thread-self/sched");
  return text.ok() ? sched_field(*text, "se.exec_start") : -1;
}

// Field 39 of /proc/PID/stat: the processor it last ran on.
int last_processor(const std::string& stat) {
  size_t at = stat.rfind(')');
  for (int field = 2; at != std::string::npos && field < 39; ++field) at = stat.find(' ', at + 1);
  return at == std::string::npos ? -1 : std::atoi(stat.c_str() + at + 1);
}

}  // namespace

uint64_t TaskClock::monotonic_ns(double task_clock_ms, unsigned processor, const Clock& clock) {
  if (processor >= kProcessorsMax || task_clock_ms < 0) return 0;
  if (lags_.size() <= processor) lags_.resize(processor + 1);
  Lag& lag = lags_[processor];
  if (!lag.known) {
    cpu_set_t before;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    if (sched_getaffinity(0, sizeof(before), &before) != 0 ||
        sched_setaffinity(0, sizeof(one), &one) != 0)
      return 0;
    sched_yield();  // brings our own exec_start up to now
    double own = own_task_clock_ms();
    lag.ns = static_cast<int64_t>(clock.monotonic_ns()) - static_cast<int64_t>(own * 1e6);
    lag.known = own >= 0;
    (void)sched_setaffinity(0, sizeof(before), &before);
    if (!lag.known) return 0;
  }
  int64_t then = static_cast<int64_t>(task_clock_ms * 1e6) + lag.ns;
  int64_t now = static_cast<int64_t>(clock.monotonic_ns());
  return static_cast<uint64_t>(then > now ? now : then < 1 ? 1 : then);
}

uint64_t count_sleeps(pid_t pid, pid_t tid) {
  Result<std::string> sched = kernel::proc::read_text(kernel::proc::path_of(pid, tid, "sched"));
  const double count = sched.ok() ? sched_field(*sched, "nr_voluntary_switches") : -1;
  return count < 0 ? 0 : static_cast<uint64_t>(count);
}

WaitSeen look_at_wait(pid_t pid, pid_t tid, TaskClock* task_clock, const Clock& clock) {
  WaitSeen seen;
  std::string base = "/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid);
  Result<std::string> call = kernel::proc::read_text(base + "/syscall");
  if (!call.ok() || call->compare(0, 7, "running") == 0) return seen;
  long number = std::strtol(call->c_str(), nullptr, 10);
  seen.number = number;
  if (!may_have_limit(number)) return seen;
  Result<std::string> sched = kernel::proc::read_text(base + "/sched");
  Result<std::string> stat = kernel::proc::read_text(base + "/stat");
  if (!sched.ok() || !stat.ok()) return seen;
  int processor = last_processor(*stat);
  if (processor < 0) return seen;
  seen.switches =
      static_cast<uint64_t>(std::max(0.0, sched_field(*sched, "nr_voluntary_switches")));
  seen.asleep_since_ns = task_clock->monotonic_ns(sched_field(*sched, "se.exec_start"),
                                                  static_cast<unsigned>(processor), clock);
  return seen;
}

}  // namespace perdure::capture
