// Calls that were made again with the whole of their time limit are ended when their first deadline
// is reached: the thread is stopped for a moment and finds the answer that the call gives when its
// limit has passed.
#include <algorithm>
#include <cerrno>

#include "capture/interrupted_call.h"
#include "capture/wait_seen.h"
#include "engine/state.h"
#include "kernel/tracer_thread.h"

namespace perdure::engine {
namespace {

using capture::WaitBook;
using kernel::Tracee;

// The thread sleeps in the call that the entry is about.
Status end_call(pid_t tid, const WaitBook::Wait& wait, const capture::WaitSeen& seen,
                GroupState* state) {
  const kernel::Seizing seizing(wait.pid);
  Tracee tracee = PD_TRY(Tracee::seize(tid));
  PD_TRY(tracee.interrupt());
  Status rested = tracee.wait_rest(nullptr);
  if (!rested.ok()) {
    tracee.abandon();
    return rested;
  }
  const kernel::Registers registers = PD_TRY(tracee.registers());
  const std::optional<kernel::Registers> ended = wait.ended(registers);
  if (ended && !PD_TRY(capture::has_deliverable_signal(tracee)))
    return tracee.set_registers(*ended);
  // It went on meanwhile, and was interrupted in another call: that one is undone as at any stop.
  PD_TRY(
      capture::settle_thread(wait.pid, tracee, seen, state->clock.monotonic_ns(), &state->waits));
  state->waits.set_switches(tid, capture::count_sleeps(wait.pid, tid));
  return {};
}

}  // namespace

std::optional<uint64_t> next_deadline_ns(const GroupState& state) {
  std::optional<uint64_t> next;
  for (const auto& [tid, wait] : state.waits.waits()) {
    if (wait.ended_by != WaitBook::EndedBy::kEngine) continue;
    next = std::min(next.value_or(wait.deadline_ns), wait.deadline_ns);
  }
  return next;
}

void serve_deadlines(GroupState* state) {
  const uint64_t now = state->clock.monotonic_ns();
  std::vector<std::pair<pid_t, WaitBook::Wait>> due;
  for (const auto& [tid, wait] : state->waits.waits()) {
    if (wait.ended_by == WaitBook::EndedBy::kEngine && wait.deadline_ns <= now)
      due.emplace_back(tid, wait);
  }
  if (due.empty()) return;
  (void)kernel::in_tracer_thread([&]() -> Status {
    for (const auto& [tid, wait] : due) {
      state->waits.forget(tid);
      const capture::WaitSeen seen =
          capture::look_at_wait(wait.pid, tid, &state->task_clock, state->clock);
      // A thread that has ended, or is held by a debugger now, needs nothing from us.
      if (wait.may_go_on(seen)) (void)end_call(tid, wait, seen, state);
    }
    return {};
  });
}

}  // namespace perdure::engine
