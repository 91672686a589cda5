#include "engine/rest.h"

#include "kernel/proc/read.h"
#include "kernel/proc/stat.h"

namespace perdure::engine {
namespace {

constexpr size_t kThreadsMax = 64;

}  // namespace

std::optional<Rest> Rest::of(const std::vector<pid_t>& pids) {
  Rest rest;
  for (const pid_t pid : pids) {
    const Result<std::vector<pid_t>> tids = kernel::proc::threads_of(pid);
    if (!tids.ok() || rest.threads_.size() + tids->size() > kThreadsMax) return std::nullopt;
    for (const pid_t tid : *tids) {
      // In this order: it slept, and had run for so long by then.
      const Result<kernel::proc::Stat> stat = kernel::proc::read_stat(pid, tid);
      if (!stat.ok() || (stat->state != 'S' && stat->state != 'T')) return std::nullopt;
      const Result<kernel::proc::RunTime> time = kernel::proc::read_run_time(pid, tid);
      if (!time.ok()) return std::nullopt;
      rest.threads_.emplace_back(tid, *time);
    }
  }
  return rest;
}

}  // namespace perdure::engine
