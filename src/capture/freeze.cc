#include "capture/freeze.h"

#include <sched.h>
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
#include "kernel/proc/status.h"
#include "kernel/tracer_thread.h"

namespace perdure::capture {
namespace {

using kernel::Tracee;
using kernel::proc::Stat;

// New tasks that appear while others are being stopped; each round stops what the last one found.
constexpr int kRoundsMax = 1000;
// A thread that sleeps uninterruptibly, as in vfork(2) until the child executes or exits, cannot be
// stopped. It is waited for while the group runs, in all so often and so long.
constexpr int kBusyRetriesMax = 400;
constexpr uint64_t kBusyNsMax = 5'000'000'000;
constexpr long kBusyPauseNs = 2'500'000;
// How long the others stand still for one that sleeps uninterruptibly, and for one that does not
// get to run at all.
constexpr uint64_t kAsleepNsMax = 50'000'000;
constexpr uint64_t kRestNsMax = 10'000'000'000;
// How often threads are looked at of which nothing is heard.
constexpr uint64_t kLookEveryNs = 1'000'000;
// How long the others wait for those that a signal had stopped to be in that stop again.
constexpr unsigned kStopLooksMax = 300;
// A number can change hands between two calls: a thread that executes a program takes that of its
// main thread.
constexpr int kSeizeTriesMax = 20;

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

// Builds a Frozen. Threads are held by tid until the set is closed.
//
// execve(2) in any thread ends all others of its process, also those that rest, and gives it the
// main thread's number (ptrace(2), "execve(2) under ptrace"). It goes on only when we have waited
// for the others, and then tells; so whatever comes is taken, in the order in which it comes.
class Freezer {
 public:
  Freezer(const Scope& scope, TaskClock* task_clock, WaitBook* waits, const Clock& clock)
      : scope_(scope), task_clock_(task_clock), waits_(waits), clock_(clock) {}
  Freezer(const Freezer&) = delete;
  Freezer& operator=(const Freezer&) = delete;
  // The end of the tracing thread lets go of those that did not come to rest.
  ~Freezer() {
    for (auto& [tid, held] : threads_) {
      if (!held.tracee.stopped()) held.tracee.abandon();
    }
  }

  Result<Frozen> run() {
    PD_TRY(seize_new(Which::kRunning));
    if (threads_.empty() && zombies_.empty() && !passed_over_) {
      return Error(Code::kGone, "the group has ended: it has no process left");
    }
    Frozen frozen;
    frozen.stopped_at_ns_ = stopped_at_ns_ = clock_.monotonic_ns();
    for (int round = 0; round < kRoundsMax; ++round) {
      PD_TRY(stop_all());
      PD_TRY(seize_new(Which::kAll));
      if (moving_ == 0 && look_at_leaders()) {
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
    WaitSeen wait = {};
    bool interrupted = false;
    bool rests = false;
    SettledCall settled = {};
  };
  using Entry = std::map<pid_t, Held>::iterator;

  Entry hold(pid_t pid, Tracee tracee, const WaitSeen& wait) {
    const pid_t tid = tracee.tid();
    ++moving_;
    return threads_.insert_or_assign(tid, Held{pid, std::move(tracee), wait}).first;
  }

  // It has ended, or is no longer ours.
  void forget(Entry entry) {
    if (!entry->second.rests) --moving_;
    entry->second.tracee.abandon();
    threads_.erase(entry);
  }

  // A process that a signal has stopped runs for a moment when it is seized. Nobody of the group
  // shall see that, so it comes last.
  enum class Which : uint8_t { kRunning, kAll };

  Status seize_new(Which which) {
    order_ = PD_TRY(list_processes(scope_));
    for (pid_t pid : order_) {
      if (which == Which::kRunning) {
        const Result<Stat> stat = kernel::proc::read_stat(pid);
        if (stat.ok() && stat->state == 'T') {
          passed_over_ = true;
          continue;
        }
      }
      Result<std::vector<pid_t>> tids = kernel::proc::threads_of(pid);
      if (!tids.ok()) continue;
      for (pid_t tid : *tids) {
        if (!threads_.contains(tid)) PD_TRY(seize_one(pid, tid));
      }
      tids_[pid] = std::move(*tids);
    }
    return {};
  }

  Status seize_one(pid_t pid, pid_t tid) {
    const kernel::Seizing seizing(pid);
    for (int tries = 1;; ++tries) {
      const WaitSeen wait = look_at_wait(pid, tid, task_clock_, clock_);
      if (is_vfork(wait.number)) return vfork_error(tid);
      Result<Tracee> tracee = Tracee::seize(tid);
      if (tracee.ok()) {
        hold(pid, std::move(tracee).value(), wait);
        return {};
      }
      const Result<Stat> stat = kernel::proc::read_stat(pid, tid);
      if (!stat.ok()) return {};  // gone
      if (stat->is_zombie()) {
        if (pid == tid) zombies_.insert(pid);
        return {};
      }
      const Result<kernel::proc::TaskStatus> status = kernel::proc::read_status(pid, tid);
      if (!status.ok()) return {};
      // Attached by the kernel as the child of a seized thread, or the heir of a seized number.
      if (status->tracer_pid == kernel::own_tid()) {
        hold(pid, Tracee::adopt(tid), wait);
        return {};
      }
      if (status->tracer_pid != 0 || tries == kSeizeTriesMax) return std::move(tracee).error();
    }
  }

  // On return every thread that is held rests.
  Status stop_all() {
    for (auto& [tid, held] : threads_) {
      if (held.rests || held.interrupted) continue;
      (void)held.tracee.interrupt();  // one that dies tells, or is found dead
      held.interrupted = true;
    }
    const uint64_t begin_ns = clock_.monotonic_ns();
    uint64_t looked_ns = begin_ns;
    kernel::Looks looks;
    while (moving_ > 0) {
      if (const auto event = kernel::next_trace_event()) {
        PD_TRY(take(*event));
        continue;
      }
      const uint64_t now_ns = clock_.monotonic_ns();
      if (now_ns - looked_ns > kLookEveryNs) {
        looked_ns = now_ns;
        PD_TRY(look_at_moving(now_ns - begin_ns));
      }
      looks.pause();
    }
    return {};
  }

  Status take(const kernel::TraceEvent& event) {
    Entry entry = threads_.find(event.tid);
    if (!WIFSTOPPED(event.status)) {
      if (entry != threads_.end()) forget(entry);
      return {};
    }
    if (entry == threads_.end()) {  // it tells before its maker does
      entry = adopt(event.tid);
    } else if (entry->second.rests) {  // another thread has its number now
      const pid_t pid = entry->second.pid;
      forget(entry);
      entry = hold(pid, Tracee::adopt(event.tid), {});
    }
    Held& held = entry->second;
    held.interrupted = true;
    const Tracee::Taken taken = PD_TRY(held.tracee.take_stop(event.status));
    switch (taken.what) {
      case Tracee::Took::kRest:
        return settle(&held);
      case Tracee::Took::kBirth:
        if (!threads_.contains(taken.other)) adopt(taken.other)->second.interrupted = true;
        return {};
      case Tracee::Took::kVfork:
        return vfork_error(event.tid);
      case Tracee::Took::kExecute:
        forget_others(held.pid, event.tid);
        return {};
      case Tracee::Took::kPassing:
        return {};
    }
    return {};
  }

  // A child or thread that a seized thread made: the kernel attached it; it stops at its birth.
  Entry adopt(pid_t tid) {
    const Result<kernel::proc::TaskStatus> status = kernel::proc::read_status(tid);
    return hold(status.ok() ? status->tgid : tid, Tracee::adopt(tid), {});
  }

  void forget_others(pid_t pid, pid_t survivor) {
    for (Entry entry = threads_.begin(); entry != threads_.end();) {
      const Entry next = std::next(entry);
      if (entry->second.pid == pid && entry->first != survivor) forget(entry);
      entry = next;
    }
  }

  // At once, so that a failure of anything later finds the thread ready to go on.
  Status settle(Held* held) {
    Result<SettledCall> settled =
        settle_thread(held->pid, held->tracee, held->wait, stopped_at_ns_, waits_);
    if (settled.ok()) {
      held->settled = std::move(settled).value();
      held->rests = true;
      --moving_;
      return {};
    }
    // Killed meanwhile: its end is told, or found.
    return settled.error().code() == Code::kGone ? Status() : std::move(settled).error();
  }

  // Threads of which nothing is heard. A main thread that ended before others of its process does
  // not tell (delay_group_leader in kernel/exit.c); one whose number went to a thread that is not
  // ours does not exist any more.
  Status look_at_moving(uint64_t waited_ns) {
    for (Entry entry = threads_.begin(); entry != threads_.end();) {
      const Entry current = entry++;
      Held& held = current->second;
      if (held.rests) continue;
      const Result<Stat> stat = kernel::proc::read_stat(held.pid, current->first);
      if (!stat.ok() || stat->is_zombie() || !held.tracee.interrupt().ok()) {
        forget(current);
        continue;
      }
      const std::string who = "thread " + std::to_string(current->first);
      if (stat->state == 'D' && waited_ns > kAsleepNsMax) {
        return Error(Code::kBusy, who + " waits for a device or for another process")
            .with_remedy("try again later");
      }
      if (waited_ns > kRestNsMax)
        return Error(Code::kTimeout, who + " does not get to run, so that it could be stopped");
    }
    return {};
  }

  // False if a main thread's number went to a thread that was not ours yet.
  bool look_at_leaders() {
    stats_.clear();
    bool all = true;
    for (pid_t pid : order_) {
      const Result<Stat> stat = kernel::proc::read_stat(pid);
      if (!stat.ok()) continue;
      stats_.emplace(pid, *stat);
      const Entry leader = threads_.find(pid);
      if (leader == threads_.end() || stat->state == 't' || stat->is_zombie()) continue;
      forget(leader);
      all = false;
    }
    return all;
  }

  Status assemble(Frozen* frozen) {
    for (const pid_t pid : order_) {
      const auto stat = stats_.find(pid);
      if (stat == stats_.end()) continue;
      StoppedProcess process;
      process.pid = pid;
      process.start_ticks = stat->second.start_ticks;
      process.stat = stat->second;
      process.zombie = process.stat.is_zombie();
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
    for (pid_t tid : tids_[pid]) {
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
  std::map<pid_t, std::vector<pid_t>> tids_;  // of each process, as they were listed last
  std::map<pid_t, Held> threads_;
  size_t moving_ = 0;  // of them, those that do not rest yet
  std::map<pid_t, Stat> stats_;
  std::set<pid_t> zombies_;
  bool passed_over_ = false;
  uint64_t stopped_at_ns_ = 0;
};

// On its way from our stop to its own such a process runs for a moment, too.
void Frozen::resume() {
  std::vector<pid_t> stopped;
  for (StoppedProcess& process : processes_) {
    if (process.threads.empty() ||
        process.threads.front().tracee.stop_kind() != kernel::StopKind::kGroupStop)
      continue;
    stopped.push_back(process.pid);
    while (!process.threads.empty()) process.threads.pop_back();
  }
  const auto is_under_way = [](pid_t pid) {
    const Result<Stat> stat = kernel::proc::read_stat(pid);
    return stat.ok() && stat->state != 'T' && !stat->is_zombie();
  };
  kernel::Looks looks;
  unsigned count = 0;
  for (const pid_t pid : stopped) {
    for (; count < kStopLooksMax && is_under_way(pid); ++count) looks.pause();
  }
  processes_.clear();
}

StoppedProcess* Frozen::find(pid_t pid) {
  for (StoppedProcess& process : processes_) {
    if (process.pid == pid) return &process;
  }
  return nullptr;
}

Status while_frozen(const Scope& scope, TaskClock* task_clock, WaitBook* waits, const Clock& clock,
                    const std::function<Status(Frozen&)>& body) {
  const uint64_t begin_ns = clock.monotonic_ns();
  for (int attempt = 0;; ++attempt) {
    (void)Tracee::wait_for_leftovers();  // a thread may wait for that in execve(2)
    bool busy = false;
    Status done = kernel::in_tracer_thread([&]() -> Status {
      Result<Frozen> frozen = Freezer(scope, task_clock, waits, clock).run();
      if (frozen.ok()) return body(*frozen);
      busy = frozen.error().code() == Code::kBusy;
      return std::move(frozen).error();
    });
    if (!busy || attempt == kBusyRetriesMax || clock.monotonic_ns() - begin_ns > kBusyNsMax)
      return done;
    const timespec pause{0, kBusyPauseNs};
    nanosleep(&pause, nullptr);
  }
}

}  // namespace perdure::capture
