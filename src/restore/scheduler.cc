#include "restore/scheduler.h"

#include <string>
#include <string_view>

#include "kernel/proc/read.h"
#include "kernel/sched.h"

namespace perdure::restore {
namespace {

namespace proc = kernel::proc;

kernel::SchedulerAttributes attributes_of(const object::SchedulerState& state) {
  kernel::SchedulerAttributes attributes;
  attributes.policy = state.policy();
  attributes.flags = state.flags();
  attributes.nice = state.nice();
  attributes.priority = state.priority();
  attributes.runtime_ns = state.runtime_ns();
  attributes.deadline_ns = state.deadline_ns();
  attributes.period_ns = state.period_ns();
  return attributes;
}

bool same(const kernel::SchedulerAttributes& a, const kernel::SchedulerAttributes& b) {
  return a.policy == b.policy && a.flags == b.flags && a.nice == b.nice &&
         a.priority == b.priority && a.runtime_ns == b.runtime_ns &&
         a.deadline_ns == b.deadline_ns && a.period_ns == b.period_ns;
}

Status apply_attributes(pid_t tid, const object::SchedulerState& state) {
  const auto wanted = attributes_of(state);
  if (same(PD_TRY(kernel::sched_getattr(tid)), wanted)) return {};
  return kernel::sched_setattr(tid, wanted);
}

Status apply_affinity(pid_t tid, const std::string& cpus) {
  const auto found = PD_TRY(kernel::sched_getaffinity(tid));
  if (cpus.empty() ||
      std::string_view(reinterpret_cast<const char*>(found.data()), found.size()) == cpus) {
    return {};
  }
  return kernel::sched_setaffinity(
      tid, Bytes(reinterpret_cast<const uint8_t*>(cpus.data()), cpus.size()));
}

Status apply_io_priority(pid_t tid, uint32_t priority) {
  if (PD_TRY(kernel::ioprio_get(tid)) == priority) return {};
  return kernel::ioprio_set(tid, priority);
}

// Numbers in /proc files, written only where they differ: writing may ask for privileges.
Status apply_oom_score(pid_t pid, int32_t wanted) {
  const std::string path = proc::path_of(pid, "oom_score_adj");
  const std::string text = PD_TRY(proc::read_text(path));
  if (proc::parse_signed(proc::trimmed(text)) == wanted) return {};
  return proc::write_text(path, std::to_string(wanted));
}

Status apply_coredump_filter(pid_t pid, uint32_t wanted) {
  const std::string path = proc::path_of(pid, "coredump_filter");
  const std::string text = PD_TRY(proc::read_text(path));
  if (proc::parse_unsigned(proc::trimmed(text), 16) == wanted) return {};
  return proc::write_text(path, std::to_string(wanted));
}

}  // namespace

Status apply_scheduler(pid_t tid, const object::Thread& thread) {
  const std::string who = "tid " + std::to_string(thread.tid()) + " (" + thread.comm() + ")";
  auto attributes = apply_attributes(tid, thread.scheduler());
  if (!attributes.ok()) {
    return std::move(attributes)
        .error()
        .within(who + ": set its scheduling policy and priority")
        .with_remedy(
            "run the restore with CAP_SYS_NICE, or raise the limits of nice and realtime priority");
  }
  auto affinity = apply_affinity(tid, thread.affinity());
  if (!affinity.ok()) {
    return std::move(affinity)
        .error()
        .within(who + ": bind it to its CPUs")
        .with_remedy("restore on a machine, and in a cpuset, that has at least one of them");
  }
  PD_TRY_WITHIN(who + ": set its I/O priority", apply_io_priority(tid, thread.io_priority()));
  return {};
}

Status apply_process_settings(pid_t pid, const object::Process& process) {
  const std::string who = "pid " + std::to_string(process.pid()) + " (" + process.comm() + ")";
  auto score = apply_oom_score(pid, process.oom_score_adj());
  if (!score.ok()) {
    return std::move(score)
        .error()
        .within(who + ": set its oom_score_adj to " + std::to_string(process.oom_score_adj()))
        .with_remedy("run the restore with CAP_SYS_RESOURCE");
  }
  PD_TRY_WITHIN(who, apply_coredump_filter(pid, process.coredump_filter()));
  return {};
}

}  // namespace perdure::restore
