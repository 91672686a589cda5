#include "restore/finish.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "kernel/proc/maps.h"
#include "kernel/proc/stat.h"
#include "restore/address_space.h"
#include "restore/credentials.h"
#include "restore/file_late.h"
#include "restore/limits.h"
#include "restore/primed_call.h"
#include "restore/scheduler.h"
#include "restore/signals.h"
#include "restore/task.h"
#include "restore/timers.h"

namespace perdure::restore {
namespace {

using object::Process;
using object::Thread;

constexpr uint64_t kThreadFlags =
    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
// Two seconds for a signal to be taken, looked at every 50 us: it takes a few.
constexpr int kStopLooksMax = 40'000;
constexpr long kStopLookNs = 50'000;
// Standard signals coalesce, so the kernel has at most one of each from the making of the tree.
constexpr int kStraySignalsMax = 31;

const Thread& thread_record(const Skeleton& skeleton, const Site& site, int index) {
  return site.graph.threads.at(ObjectId(skeleton.process().threads(index)));
}

kernel::Tracee& tracee_of(Skeleton* skeleton, int index) {
  return index == 0 ? skeleton->leader : skeleton->threads[static_cast<size_t>(index - 1)];
}

// Runs a step in every thread, in the thread itself.
template <typename Step>
Status for_each_thread(Skeleton* skeleton, Site* site, Step step) {
  for (int i = 0; i < skeleton->process().threads_size(); ++i) {
    const Thread& thread = thread_record(*skeleton, *site, i);
    PD_TRY(run_calls(*site, &tracee_of(skeleton, i), skeleton->name(),
                     [&](RemoteCalls* calls) { step(thread, calls); }));
  }
  return {};
}

Status run_late(std::vector<LateCall> calls, Skeleton* skeleton, Site* site) {
  for (LateCalls late(std::move(calls)); !late.done();) {
    kernel::Batch batch = site->area.batch();
    late.fill(&batch);
    PD_TRY(site->area.run(&skeleton->leader, &batch));
    PD_TRY_WITHIN("restore " + skeleton->name(), late.check(batch));
  }
  return {};
}

Status change_root(Skeleton* skeleton, Site* site) {
  const Process& process = skeleton->process();
  return run_calls(*site, &skeleton->leader, skeleton->name(), [&](RemoteCalls* calls) {
    kernel::Batch& batch = calls->batch();
    calls->add("enter " + process.cwd(), SYS_chdir, {batch.in(process.cwd())});
    calls->remedy("the working directory must exist at restore");
    if (process.root() != "/" && !process.root().empty()) {
      calls->add("change its root to " + process.root(), SYS_chroot, {batch.in(process.root())});
    }
  });
}

// What the making of children, groups and zombies left in the queues.
void drop_stray_signals(RemoteCalls* calls) {
  kernel::Batch& batch = calls->batch();
  const RemoteAddr all = batch.in_value(~0ull);
  const RemoteAddr now = batch.in_value(timespec{0, 0});
  for (int i = 0; i < kStraySignalsMax; ++i) {
    batch.call(SYS_rt_sigtimedwait, {all, 0, now, 8}, kernel::OnError::kContinue);
  }
}

Result<RemoteAddr> vdso_instruction(const Skeleton& skeleton, const Site& site) {
  const object::AddressSpace& space =
      site.graph.address_spaces.at(ObjectId(skeleton.process().address_space()));
  for (const object::Vma& vma : space.vmas()) {
    if (vma.kind() != object::Vma::VDSO) continue;
    return kernel::find_syscall_instruction(skeleton.pid, RemoteAddr(vma.start()),
                                            vma.end() - vma.start());
  }
  return Error(Code::kUnsupported, skeleton.name() + " was saved without a vdso");
}

Status set_final_registers(kernel::Tracee* tracee, const Thread& thread,
                           const kernel::Registers& registers) {
  PD_TRY(tracee->set_xstate(
      Bytes(reinterpret_cast<const uint8_t*>(thread.xstate().data()), thread.xstate().size())));
  PD_TRY(tracee->set_registers(registers));
  return tracee->set_signal_mask(thread.signal_mask());
}

// SIGTSTP, SIGTTIN and SIGTTOU stop nothing in a process group that has no parent in its session
// outside of it (setpgid(2), orphaned process groups); a parent of this very process is enough.
bool has_job_control(const Process& process, const Site& site) {
  return std::any_of(
      site.graph.processes.begin(), site.graph.processes.end(), [&](const auto& entry) {
        const Process& parent = entry.second;
        return parent.pid() == process.parent_pid() && parent.session() == process.session() &&
               parent.process_group() != process.process_group();
      });
}

// The signal that had stopped it stops it again where it can, for its parent learns which one it
// was.
int stop_signal_of(const Process& process, uint64_t mask, const Site& site) {
  const int signal = process.stop_signal();
  if (signal <= 0 || (mask >> (signal - 1) & 1) != 0 || !has_job_control(process, site))
    return SIGSTOP;
  const bool handled =
      std::any_of(process.actions().begin(), process.actions().end(),
                  [&](const auto& action) { return static_cast<int>(action.signal()) == signal; });
  return handled ? SIGSTOP : signal;
}

// The signal waits until the process is let go, and stops it before its first instruction.
Status stop_again(const Skeleton& skeleton, const Site& site) {
  const Process& process = skeleton.process();
  if (process.state() != Process::STOPPED) return {};
  const uint64_t mask = thread_record(skeleton, site, 0).signal_mask();
  if (kill(skeleton.pid, stop_signal_of(process, mask, site)) == 0) return {};
  return Error::system(errno, "stop", skeleton.name());
}

// Others of the group must not see it running.
Status await_stop(const Skeleton& skeleton) {
  for (int look = 0; look < kStopLooksMax; ++look) {
    const auto stat = PD_TRY(kernel::proc::read_stat(skeleton.pid));
    if (stat.state == 'T') return {};
    const timespec pause = {0, kStopLookNs};
    (void)nanosleep(&pause, nullptr);
  }
  return Error(Code::kTimeout,
               skeleton.name() + " was stopped when it was saved, and does not stop");
}

}  // namespace

Status place_files(Skeleton* skeleton, Site* site) {
  PD_TRY(change_root(skeleton, site));
  PD_TRY(set_memory_layout(skeleton, site));
  CallStream stream(*site, &skeleton->leader, skeleton->name());
  PD_TRY(stream.add("close what it inherited", SYS_close_range, {0, site->opened.first - 1, 0}));
  for (const object::FdEntry& entry : skeleton->process().fds()) {
    auto from = site->opened.files.find(ObjectId(entry.file()));
    if (from == site->opened.files.end()) {
      return Error(Code::kCorrupt,
                   skeleton->name() + " fd " + std::to_string(entry.fd()) + " has no open file");
    }
    PD_TRY(stream.add("place fd " + std::to_string(entry.fd()), SYS_dup3,
                      {from->second, entry.fd(), entry.close_on_exec() ? O_CLOEXEC : 0}));
  }
  return stream.flush();
}

Status leave_builder(Skeleton* skeleton, Site* site) {
  PD_TRY(run_late(terminal_calls(skeleton->process(), site->graph, site->opened), skeleton, site));
  return run_calls(*site, &skeleton->leader, skeleton->name(), [&](RemoteCalls* calls) {
    calls->add("close the builder's descriptors", SYS_close_range, {site->opened.first, ~0u, 0});
  });
}

Status make_threads(Skeleton* skeleton, Site* site) {
  PD_TRY(run_calls(*site, &skeleton->leader, skeleton->name(),
                   [&](RemoteCalls* calls) { add_personality(skeleton->process(), calls); }));
  for (int i = 1; i < skeleton->process().threads_size(); ++i) {
    const Thread& thread = thread_record(*skeleton, *site, i);
    kernel::Batch batch = site->area.batch();
    RemoteCalls calls(&batch, skeleton->name());
    clone_args args{};
    args.flags = kThreadFlags;
    const int32_t tid = thread.tid();
    args.set_tid = batch.in_value(tid).value;
    args.set_tid_size = 1;
    calls.add("make thread " + std::to_string(tid), SYS_clone3,
              {batch.in_value(args), sizeof(args)});
    std::vector<pid_t> born;
    PD_TRY(site->area.run(&skeleton->leader, &batch, &born));
    PD_TRY(calls.check());
    if (born.size() != 1)
      return Error(Code::kInternal, "a thread of " + skeleton->name() + " was not seen");
    skeleton->threads.push_back(kernel::Tracee::adopt(born[0]));
    PD_TRY(skeleton->threads.back().wait_rest(nullptr));
  }
  return {};
}

Status set_state(Skeleton* skeleton, Site* site) {
  const Process& process = skeleton->process();
  PD_TRY(run_calls(*site, &skeleton->leader, skeleton->name(), [&](RemoteCalls* calls) {
    drop_stray_signals(calls);
    add_actions(process, calls);
  }));
  PD_TRY(for_each_thread(skeleton, site, [&](const Thread& thread, RemoteCalls* calls) {
    add_altstack(thread, calls);
    add_thread_registrations(thread, calls);
    add_thread_pending(process, thread, calls);
  }));
  // Each in a batch of its own: a queue may hold capture's kPendingSignalsMax, and timers as many
  // calls.
  PD_TRY(run_calls(*site, &skeleton->leader, skeleton->name(),
                   [&](RemoteCalls* calls) { add_process_pending(process, calls); }));
  Status timers;
  PD_TRY(run_calls(*site, &skeleton->leader, skeleton->name(), [&](RemoteCalls* calls) {
    timers = add_timer_creation(process, site->features, calls);
  }));
  PD_TRY(std::move(timers));
  return run_calls(*site, &skeleton->leader, skeleton->name(),
                   [&](RemoteCalls* calls) { add_process_settings(process, calls); });
}

Status give_up_privileges(Skeleton* skeleton, Site* site) {
  const Process& process = skeleton->process();
  PD_TRY(run_calls(*site, &skeleton->leader, skeleton->name(),
                   [&](RemoteCalls* calls) { add_limits(process, calls); }));
  PD_TRY(for_each_thread(skeleton, site, [&](const Thread& thread, RemoteCalls* calls) {
    add_credentials(thread.credentials(), calls);
    add_thread_end(thread, calls);
  }));
  PD_TRY(run_late(final_file_calls(process, site->graph), skeleton, site));
  PD_TRY(run_calls(*site, &skeleton->leader, skeleton->name(), [&](RemoteCalls* calls) {
    add_process_end(process, calls);
    add_timer_arming(process, calls);
  }));
  for (int i = 0; i < process.threads_size(); ++i) {
    PD_TRY(apply_scheduler(tracee_of(skeleton, i).tid(), thread_record(*skeleton, *site, i)));
  }
  return apply_process_settings(skeleton->pid, process);
}

Status put_registers(Skeleton* skeleton, Site* site) {
  std::vector<kernel::Registers> finals;
  for (int i = 0; i < skeleton->process().threads_size(); ++i) {
    finals.push_back(PD_TRY(
        final_registers(thread_record(*skeleton, *site, i), &tracee_of(skeleton, i), *site)));
  }
  const RemoteAddr instruction = PD_TRY(vdso_instruction(*skeleton, *site));
  PD_TRY(site->area.unmap(&skeleton->leader, instruction));
  for (int i = 0; i < skeleton->process().threads_size(); ++i) {
    PD_TRY_WITHIN("restore " + skeleton->name(),
                  set_final_registers(&tracee_of(skeleton, i), thread_record(*skeleton, *site, i),
                                      finals[static_cast<size_t>(i)]));
  }
  return stop_again(*skeleton, *site);
}

// The program runs from the first of its threads on, and may end any other one: by a signal, or by
// executing a program.
Status let_go(Skeleton* skeleton) {
  const auto detach = [](kernel::Tracee* thread) -> Status {
    Status done = thread->detach();
    return done.ok() || done.error().code() == Code::kGone ? Status() : std::move(done);
  };
  for (kernel::Tracee& thread : skeleton->threads) PD_TRY(detach(&thread));
  PD_TRY(detach(&skeleton->leader));
  return skeleton->process().state() == Process::STOPPED ? await_stop(*skeleton) : Status();
}

}  // namespace perdure::restore
