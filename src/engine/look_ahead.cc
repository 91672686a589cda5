#include "engine/look_ahead.h"

#include <algorithm>

#include "capture/process.h"
#include "capture/wait_seen.h"
#include "kernel/file.h"
#include "kernel/proc/kept_files.h"
#include "kernel/proc/read.h"
#include "kernel/proc/status.h"

namespace perdure::engine {
namespace {

// What the engine may have open in a stop, beside a duplicate of each descriptor of the group: of
// its own, and files of /proc of a process and of its threads.
constexpr uint64_t kOwnDescriptors = 512;
constexpr uint64_t kKeptOfProcess = 64;
constexpr uint64_t kKeptOfThread = 16;

struct Seen {
  uint64_t descriptors = kOwnDescriptors;  // of the group, and what the engine opens to look at it
  uint64_t new_bytes = 0;
  uint64_t anonymous_bytes = 0;
};

// Reading the mappings of more would take a millisecond, in which the program cannot change them.
constexpr uint64_t kIdleLookBytesMax = 64u << 20;

// Of more, most will have run elsewhere by the time of the stop.
constexpr size_t kSleepersMax = 64;

// On which processors threads sleep: how the clock of such a one runs is measured once, by standing
// there (capture/wait_seen.h), and that takes 0.1 ms.
void know_clocks(GroupState* state, pid_t pid) {
  const Result<std::vector<pid_t>> tids = kernel::proc::threads_of(pid);
  if (!tids.ok() || tids->size() > kSleepersMax) return;
  for (const pid_t tid : *tids)
    (void)capture::look_at_wait(pid, tid, &state->task_clock, state->clock);
}

void look_at_process(GroupState* state, pid_t pid, Seen* seen) {
  const Result<kernel::proc::Stat> stat = kernel::proc::read_stat(pid);
  if (!stat.ok() || stat->is_zombie()) return;
  Member& member = member_for(state, pid, stat->start_ticks);
  capture::ProcessMemo& memo = member.memo;
  member.grown_bytes = 0;
  const bool is_new = memo.mappings.entries.empty();
  capture::know_mappings(pid, state->clock, &memo.mappings);
  state->mapped_files.look_ahead(pid, memo.mappings.entries);
  object::Process unused;
  if (is_new) (void)capture::read_process(pid, &state->pids, &unused);
  const auto open = kernel::proc::list_numbers(kernel::proc::path_of(pid, "fd"));
  seen->descriptors += (open.ok() ? open->size() : 0) + kKeptOfProcess +
                       kKeptOfThread * static_cast<uint64_t>(stat->threads);
  const Result<kernel::proc::TaskStatus> status = kernel::proc::read_status(pid);
  if (!status.ok()) return;
  seen->anonymous_bytes += status->anonymous_bytes;
  if (memo.tracked && state->missing_pages != nullptr) return;  // it grows as pages come
  member.looked_bytes = status->rss_bytes;
  const uint64_t known = memo.tracked ? member.resident_bytes : 0;
  const uint64_t new_bytes = status->rss_bytes - std::min(known, status->rss_bytes);
  member.grown_bytes = memo.tracked ? new_bytes : 0;
  seen->new_bytes += new_bytes;
}

}  // namespace

Member& member_for(GroupState* state, pid_t pid, uint64_t start_ticks) {
  Member& member = state->members[pid];
  if (member.memo.start_ticks != start_ticks) {
    member = Member();
    member.memo.pid = pid;
    member.memo.start_ticks = start_ticks;
    state->pids.forget(pid);
    kernel::proc::forget_files(pid);
    kernel::proc::keep_files(pid);
    state->waits.forget(pid);
  }
  return member;
}

Result<const kernel::proc::Namespaces*> read_home(GroupState* state) {
  if (!state->home) state->home = PD_TRY(kernel::proc::read_namespaces(state->scope.init));
  return &*state->home;
}

uint64_t look_ahead(GroupState* state) {
  state->prepare_at_ns.reset();
  state->look_at_ns.reset();
  const Result<std::vector<pid_t>> pids = capture::list_processes(state->scope);
  if (!pids.ok()) return 0;
  const std::optional<Rest> rest = Rest::of(*pids);
  if (rest && rest == state->looked_at) return state->grown_bytes;
  state->looked_at = rest;
  Seen seen;
  for (const pid_t pid : *pids) look_at_process(state, pid, &seen);
  if (state->scope.init != 0) (void)read_home(state);
  if (seen.descriptors > state->descriptors) {
    state->descriptors = 2 * seen.descriptors;
    kernel::reserve_descriptors(state->descriptors);
  }
  state->grown_bytes = seen.new_bytes;
  state->anonymous_bytes = seen.anonymous_bytes;
  return seen.new_bytes;
}

void look_while_idle(GroupState* state) {
  state->look_at_ns.reset();
  const Result<std::vector<pid_t>> pids = capture::list_processes(state->scope);
  if (!pids.ok()) return;
  uint64_t bytes = 0;
  for (const pid_t pid : *pids) {
    const Result<kernel::proc::TaskStatus> status = kernel::proc::read_status(pid);
    if (status.ok()) bytes += status->rss_bytes;
  }
  if (bytes > kIdleLookBytesMax) return;
  look_ahead(state);
  for (const pid_t pid : *pids) know_clocks(state, pid);
}

std::optional<uint64_t> next_preparation_ns(const GroupState& state) {
  if (!state.prepare_at_ns) return state.look_at_ns;
  return std::min(*state.prepare_at_ns, state.look_at_ns.value_or(*state.prepare_at_ns));
}

void serve_preparation(GroupState* state) {
  const uint64_t now = state->clock.monotonic_ns();
  if (state->prepare_at_ns && *state->prepare_at_ns <= now) return prepare(state);
  if (state->look_at_ns && *state->look_at_ns <= now) look_while_idle(state);
}

}  // namespace perdure::engine
