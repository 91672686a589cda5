// Scheduling of one thread, read and set from outside: sched_getattr(2), sched_setaffinity(2),
// ioprio_get(2). Setting asks for CAP_SYS_NICE or the thread's own user id.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace perdure::kernel {

struct SchedulerAttributes {  // struct sched_attr, its first version (SCHED_ATTR_SIZE_VER0)
  uint32_t size = 48;
  uint32_t policy = 0;  // SCHED_*
  uint64_t flags = 0;   // SCHED_FLAG_*
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime_ns = 0;
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};
static_assert(sizeof(SchedulerAttributes) == 48);

Result<SchedulerAttributes> sched_getattr(pid_t tid);
Status sched_setattr(pid_t tid, const SchedulerAttributes& attributes);

// A set of CPUs: bit N of the bytes is CPU N; trailing zero bytes are cut.
Result<std::vector<uint8_t>> sched_getaffinity(pid_t tid);
Status sched_setaffinity(pid_t tid, Bytes cpus);

// The class in the upper 3 of 16 bits; class 0 is "none set", and then nice decides.
inline constexpr uint32_t kIoPriorityClassShift = 13;
Result<uint32_t> ioprio_get(pid_t tid);
Status ioprio_set(pid_t tid, uint32_t priority);

}  // namespace perdure::kernel
