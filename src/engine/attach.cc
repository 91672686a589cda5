// Adopting a process tree that runs already, and taking over a group whose engine died.
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "engine/clock_offsets.h"
#include "engine/instance.h"
#include "engine/start.h"
#include "kernel/file.h"
#include "kernel/pidfd.h"
#include "kernel/proc/read.h"
#include "kernel/proc/stat.h"
#include "kernel/proc/status.h"
#include "kernel/terminal.h"

namespace perdure::engine {
namespace {

Error no_process(pid_t pid) {
  return Error(Code::kNotFound, "there is no process " + std::to_string(pid))
      .with_remedy("look it up with ps or pgrep");
}

Status check_attachable(pid_t pid) {
  Result<kernel::proc::TaskStatus> status = kernel::proc::read_status(pid);
  if (!status.ok()) return no_process(pid);
  const std::string who = "pid " + std::to_string(pid) + " (" + status->name + ")";
  if (status->is_zombie())
    return Error(Code::kGone, who + " has ended already and waits to be reaped");
  if (pid == 1 || pid == getpid()) return Error(Code::kInvalid, who + " cannot be a group");
  if (status->tgid != pid) {
    return Error(Code::kInvalid, who + " is a thread of pid " + std::to_string(status->tgid))
        .with_remedy("attach to the process");
  }
  if (status->tracer_pid != 0) {
    return Error(Code::kBusy, who + " is being traced by pid " + std::to_string(status->tracer_pid))
        .with_remedy("let the debugger or the other engine detach first");
  }
  if (geteuid() != 0 && status->uids[0] != getuid()) {
    return Error(Code::kPermission,
                 who + " belongs to another user (uid " + std::to_string(status->uids[0]) + ")")
        .with_remedy("run as that user or as root");
  }
  Result<std::string> executable = kernel::proc::read_link(kernel::proc::path_of(pid, "exe"));
  if (!executable.ok()) {
    return Error(Code::kInvalid, who + " is a thread of the kernel, or its memory may not be read")
        .with_remedy("run as that user or as root");
  }
  return {};
}

bool is_running(pid_t pid, uint64_t start_ticks) {
  Result<kernel::proc::Stat> stat = kernel::proc::read_stat(pid);
  return stat.ok() && stat->start_ticks == start_ticks && !stat->is_zombie();
}

Status take_terminal(GroupState* state, const Fd& init) {
  if (state->instance.terminal_fd() < 0) return {};
  state->terminal = PD_TRY_WITHIN("take over the group's terminal",
                                  kernel::pidfd_getfd(init.get(), state->instance.terminal_fd()));
  state->terminal_device = PD_TRY(kernel::slave_device(state->terminal));
  return {};
}

// Threads may still wait in calls whose deadlines the engine that died had noted: they are in its
// last epoch.
Status take_deadlines(GroupState* state) {
  const std::optional<store::EpochInfo> newest = state->store->newest();
  if (!newest) return {};
  std::unique_ptr<store::EpochReader> reader = PD_TRY(state->store->read_epoch(newest->epoch));
  object::Graph graph;
  PD_TRY(reader->for_each_record(
      [&](ObjectId id, uint32_t kind, Bytes bytes) { return graph.add(id, kind, bytes); }));
  if (graph.group.instance_serial() != state->instance.serial()) return {};
  int64_t offset_ns = 0;
  std::map<pid_t, std::pair<pid_t, pid_t>>
      by_inner;  // tid as the program sees it -> (pid, tid) here
  for (pid_t pid : PD_TRY(capture::list_processes(state->scope))) {
    Result<std::vector<pid_t>> tids = kernel::proc::threads_of(pid);
    if (!tids.ok()) continue;
    offset_ns = read_clock_offsets(pid).monotonic_ns;
    for (pid_t tid : *tids) {
      Result<pid_t> inner = state->pids.inner(tid);
      if (inner.ok()) by_inner[*inner] = {pid, tid};
    }
  }
  for (const auto& [id, thread] : graph.threads) {
    auto found = by_inner.find(thread.tid());
    if (thread.blocked().number() == 0 || found == by_inner.end()) continue;
    state->waits.put_saved(found->second.first, found->second.second, thread,
                           graph.group.captured_monotonic_ns() - static_cast<uint64_t>(offset_ns) +
                               thread.blocked().remaining_ns());
  }
  return {};
}

}  // namespace

Status attach(const AttachOptions& options, GroupState* state) {
  PD_TRY(check_attachable(options.pid));
  PD_TRY(state->features.require(kernel::Feature::kPtrace));
  const std::string text =
      PD_TRY(kernel::proc::read_text(kernel::proc::path_of(options.pid, "cmdline")));
  for (std::string_view word : kernel::proc::split(text, '\0'))
    state->instance.add_command(std::string(word));
  return settle_tree(options.pid, Kinship::kStranger, state);
}

Status take_over(GroupState* state) {
  state->instance = PD_TRY(load_instance(state->store->name()));
  object::Instance& instance = state->instance;
  const pid_t pid = instance.own_namespaces()   ? instance.init_pid()
                    : instance.roots_size() > 0 ? instance.roots(0)
                                                : 0;
  const uint64_t ticks = instance.own_namespaces()              ? instance.init_start_ticks()
                         : instance.root_start_ticks_size() > 0 ? instance.root_start_ticks(0)
                                                                : 0;
  if (pid == 0 || instance.boot_id() != PD_TRY(read_boot_id()) || !is_running(pid, ticks)) {
    return Error(Code::kGone, "group " + state->name + " is not running")
        .with_remedy("run `perdure restore`");
  }
  state->end = PD_TRY(kernel::pidfd_open(pid));
  if (instance.own_namespaces()) {
    state->scope.init = pid;
    state->missing_pages = MissingPages::unknown();
    PD_TRY(take_terminal(state, state->end));
  } else {
    state->scope.roots.assign(instance.roots().begin(), instance.roots().end());
  }
  return take_deadlines(state);
}

}  // namespace perdure::engine
