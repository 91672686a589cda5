#include "capture/freeze.h"

#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/limits.h"
#include "capture/blocked_call.h"
#include "capture/wait_seen.h"
#include "kernel/proc/read.h"
#include "kernel/proc/stat.h"

namespace perdure::capture {
namespace {

using kernel::Tracee;

// New tasks that appear while others are being stopped; each round stops what the last one found.
constexpr int kRoundsMax = 1000;
// A thread in vfork(2) cannot be stopped before its child executes or exits; that is let happen
// this many times.
constexpr int kVforkRetriesMax = 400;
constexpr long kVforkPauseNs = 2'500'000;

Status append_children(pid_t pid, std::vector<pid_t>* all) {
  Result<std::vector<pid_t>> threads = kernel::proc::threads_of(pid);
  if (!threads.ok()) return {};  // ended meanwhile
  for (pid_t tid : *threads) {
    Result<std::string> text = kernel::proc::read_text(kernel::proc::path_of(pid, tid, "children"));
    if (!text.ok()) {
      if (text.error().code() == Code::kGone) continue;
      return std::move(text).error();
    }
    for (std::string_view word : kernel::proc::split(*text, ' ')) {
      if (auto child = kernel::proc::parse_signed(kernel::proc::trimmed(word))) {
        all->push_back(static_cast<pid_t>(*child));
      }
    }
  }
  return {};
}

// The parent sleeps in the call until the child executes a program, and cannot be stopped before.
bool is_vfork(long number) {
  return number == SYS_vfork || number == SYS_clone || number == SYS_clone3;
}

Error vfork_error(pid_t tid) {
  return Error(Code::kBusy, "thread " + std::to_string(tid) +
                                " waits in vfork(2) for its child to execute a program")
      .with_remedy("try again when the child has executed");
}

}  // namespace

Result<std::vector<pid_t>> list_processes(const Scope& scope) {
  std::vector<pid_t> all;
  if (scope.init != 0) {
    PD_TRY(append_children(scope.init, &all));
  } else {
    for (pid_t root : scope.roots) {
      if (kernel::proc::read_stat(root).ok()) all.push_back(root);
    }
  }
  std::set<pid_t> seen(all.begin(), all.end());
  for (size_t i = 0; i < all.size(); ++i) {
    std::vector<pid_t> children;
    PD_TRY(append_children(all[i], &children));
    for (pid_t child : children) {
      if (seen.insert(child).second) all.push_back(child);
    }
    if (all.size() > kProcessesMax)
      return Error(Code::kLimit, "the group has more than 32768 processes");
  }
  return all;
}

// Builds a Frozen. Threads are held in a map by tid until the set is closed.
class Freezer {
 public:
  Freezer(const Scope& scope, TaskClock* task_clock, WaitBook* waits, const Clock& clock)
      : scope_(scope), task_clock_(task_clock), waits_(waits), clock_(clock) {}

  Result<Frozen> run() {
    PD_TRY(seize_new());
    if (threads_.empty() && zombies_.empty()) {
      return Error(Code::kGone, "the group has ended: it has no process left");
    }
    Frozen frozen;
    frozen.stopped_at_ns_ = stopped_at_ns_ = clock_.monotonic_ns();
    for (int round = 0; round < kRoundsMax; ++round) {
      PD_TRY(stop_all());
      PD_TRY(seize_new());
      if (std::all_of(threads_.begin(), threads_.end(),
                      [](const auto& t) { return t.second.tracee.stopped(); })) {
        PD_TRY(assemble(&frozen));
        return frozen;
      }
    }
    return Error(Code::kTimeout,
                 "the group makes processes or threads faster than they can be stopped")
        .with_remedy("try again, or stop the process that makes them");
  }

 private:
  struct Held {
    pid_t pid;
    Tracee tracee;
    WaitSeen wait;
    bool interrupted = false;
    SettledCall settled = {};
  };

  Status seize_new() {
    order_ = PD_TRY(list_processes(scope_));
    for (pid_t pid : order_) {
      Result<std::vector<pid_t>> tids = kernel::proc::threads_of(pid);
      if (!tids.ok()) continue;
      for (pid_t tid : *tids) {
        if (!threads_.contains(tid)) PD_TRY(seize_one(pid, tid));
        // One that was alone may have made others since.
        if (tid == pid && tids->size() > 1 && threads_.contains(tid))
          threads_.at(tid).tracee.set_leader_of_others();
      }
    }
    return {};
  }

  Status seize_one(pid_t pid, pid_t tid) {
    WaitSeen wait = look_at_wait(pid, tid, task_clock_, clock_);
    if (is_vfork(wait.number)) return vfork_error(tid);
    Result<Tracee> tracee = Tracee::seize(tid);
    if (tracee.ok()) {
      threads_.emplace(tid, Held{pid, std::move(tracee).value(), wait, false});
      return {};
    }
    Result<kernel::proc::Stat> stat = kernel::proc::read_stat(pid, tid);
    if (!stat.ok()) return {};  // gone
    if (stat->state == 'Z' || stat->state == 'X') {
      if (pid == tid) zombies_.insert(pid);
      return {};
    }
    // Attached by the kernel as the child of a seized thread, in this very moment.
    if (born_.contains(tid)) {
      threads_.emplace(tid, Held{pid, Tracee::adopt(tid), {}, true});
      return {};
    }
    if (tracee.error().code() == Code::kGone) return {};
    return std::move(tracee).error();
  }

  Status stop_all() {
    for (auto& [tid, held] : threads_) {
      if (held.tracee.stopped() || held.interrupted) continue;
      if (!held.tracee.interrupt().ok()) continue;  // dying: wait_rest tells
      held.interrupted = true;
    }
    for (auto it = threads_.begin(); it != threads_.end();) {
      if (it->second.tracee.stopped()) {
        ++it;
        continue;
      }
      std::vector<pid_t> children;
      Status rested = it->second.tracee.wait_rest(&children);
      for (pid_t child : children) PD_TRY(adopt(child));
      if (!rested.ok() && rested.error().code() != Code::kGone) return rested;
      if (rested.ok()) PD_TRY(settle(&it->second));
      it = rested.ok() ? std::next(it) : threads_.erase(it);
    }
    return {};
  }

  // At once, so that a failure of anything later finds the thread ready to go on.
  Status settle(Held* held) {
    held->settled =
        PD_TRY(settle_thread(held->pid, held->tracee, held->wait, stopped_at_ns_, waits_));
    return {};
  }

  // A child or thread that a seized thread made: the kernel attached it; it stops at its birth.
  Status adopt(pid_t tid) {
    born_.insert(tid);
    if (threads_.contains(tid)) return {};
    Result<kernel::proc::Stat> stat = kernel::proc::read_stat(tid);
    if (!stat.ok()) return {};
    Result<std::vector<pid_t>> group = kernel::proc::threads_of(tid);
    pid_t pid = group.ok() && !group->empty() ? group->front() : tid;
    threads_.emplace(tid, Held{pid, Tracee::adopt(tid), {}, true});
    return {};
  }

  Status assemble(Frozen* frozen) {
    for (pid_t pid : order_) {
      Result<kernel::proc::Stat> stat = kernel::proc::read_stat(pid);
      if (!stat.ok()) continue;
      StoppedProcess process;
      process.pid = pid;
      process.start_ticks = stat->start_ticks;
      process.stat = *stat;
      process.zombie = stat->state == 'Z' || stat->state == 'X';
      if (!process.zombie) take_threads(pid, &process);
      if (process.zombie || !process.threads.empty())
        frozen->processes_.push_back(std::move(process));
    }
    // Dead processes alone, which somebody has not waited for yet, are no group.
    if (std::all_of(frozen->processes_.begin(), frozen->processes_.end(),
                    [](const StoppedProcess& process) {
                      return process.zombie && process.stat.threads <= 1;
                    })) {
      return Error(Code::kGone, "the group has ended: it has no process left");
    }
    return {};
  }

  void take_threads(pid_t pid, StoppedProcess* process) {
    Result<std::vector<pid_t>> tids = kernel::proc::threads_of(pid);
    if (!tids.ok()) return;
    for (pid_t tid : *tids) {
      auto held = threads_.find(tid);
      if (held == threads_.end()) continue;
      process->threads.push_back(StoppedThread{std::move(held->second.tracee),
                                               held->second.settled.saved,
                                               held->second.settled.blocked});
      threads_.erase(held);
    }
  }

  const Scope& scope_;
  TaskClock* task_clock_;
  WaitBook* waits_;
  const Clock& clock_;
  std::vector<pid_t> order_;
  std::map<pid_t, Held> threads_;
  std::set<pid_t> zombies_;
  std::set<pid_t> born_;
  uint64_t stopped_at_ns_ = 0;
};

StoppedProcess* Frozen::find(pid_t pid) {
  for (StoppedProcess& process : processes_) {
    if (process.pid == pid) return &process;
  }
  return nullptr;
}

Result<Frozen> freeze(const Scope& scope, TaskClock* task_clock, WaitBook* waits,
                      const Clock& clock) {
  for (int attempt = 0;; ++attempt) {
    Result<Frozen> frozen = Freezer(scope, task_clock, waits, clock).run();
    if (frozen.ok() || frozen.error().code() != Code::kBusy || attempt == kVforkRetriesMax)
      return frozen;
    timespec pause{0, kVforkPauseNs};
    nanosleep(&pause, nullptr);
  }
}

}  // namespace perdure::capture
