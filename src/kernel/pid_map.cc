#include "kernel/pid_map.h"

#include "kernel/proc/status.h"

namespace perdure::kernel {

Result<pid_t> PidMap::inner(pid_t outer) {
  if (outer == 0) return 0;
  if (auto found = inner_.find(outer); found != inner_.end()) return found->second;
  const proc::TaskStatus status = PD_TRY(proc::read_status(outer));
  bind(outer, status.inner_pid());
  return status.inner_pid();
}

Result<size_t> PidMap::depth(pid_t outer) {
  if (auto found = depth_.find(outer); found != depth_.end()) return found->second;
  const proc::TaskStatus status = PD_TRY(proc::read_status(outer));
  bind(outer, status.inner_pid());
  return depth_[outer] = status.ns_pid.size();
}

}  // namespace perdure::kernel
