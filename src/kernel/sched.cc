#include "kernel/sched.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace perdure::kernel {
namespace {

constexpr int kIoPriorityOfProcess = 1;  // IOPRIO_WHO_PROCESS; takes a tid
// 64 Ki CPUs; CONFIG_NR_CPUS is at most 8192 on x86-64.
constexpr size_t kCpuBytesMax = 8192;

Error failure(const char* operation, pid_t tid) {
  return Error::system(errno, operation, "tid " + std::to_string(tid));
}

}  // namespace

Result<SchedulerAttributes> sched_getattr(pid_t tid) {
  SchedulerAttributes attributes;
  if (::syscall(SYS_sched_getattr, tid, &attributes, sizeof(attributes), 0) != 0) {
    return failure("sched_getattr", tid);
  }
  return attributes;
}

Status sched_setattr(pid_t tid, const SchedulerAttributes& attributes) {
  SchedulerAttributes copy = attributes;
  if (::syscall(SYS_sched_setattr, tid, &copy, 0) != 0) return failure("sched_setattr", tid);
  // The kernel takes the nice value along with SCHED_OTHER and SCHED_BATCH only (6.18, shown by
  // AnIdlePolicyTakesItsNiceValueAlong).
  if (attributes.policy == SCHED_IDLE &&
      ::setpriority(PRIO_PROCESS, static_cast<id_t>(tid), attributes.nice) != 0) {
    return failure("setpriority", tid);
  }
  return {};
}

Result<std::vector<uint8_t>> sched_getaffinity(pid_t tid) {
  std::vector<uint8_t> cpus(kCpuBytesMax);
  const long size = ::syscall(SYS_sched_getaffinity, tid, cpus.size(), cpus.data());
  if (size < 0) return failure("sched_getaffinity", tid);
  cpus.resize(static_cast<size_t>(size));
  while (!cpus.empty() && cpus.back() == 0) cpus.pop_back();
  return cpus;
}

Status sched_setaffinity(pid_t tid, Bytes cpus) {
  if (::syscall(SYS_sched_setaffinity, tid, cpus.size(), cpus.data()) != 0) {
    return failure("sched_setaffinity", tid);
  }
  return {};
}

Result<uint32_t> ioprio_get(pid_t tid) {
  const long priority = ::syscall(SYS_ioprio_get, kIoPriorityOfProcess, tid);
  if (priority < 0) return failure("ioprio_get", tid);
  return static_cast<uint32_t>(priority);
}

Status ioprio_set(pid_t tid, uint32_t priority) {
  if (::syscall(SYS_ioprio_set, kIoPriorityOfProcess, tid, priority) != 0) {
    return failure("ioprio_set", tid);
  }
  return {};
}

}  // namespace perdure::kernel
