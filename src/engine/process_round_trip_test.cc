// Both ends of process and thread records: what one real child had is captured, put back into a
// second, fresh child by the calls of restore/, and captured from there again. Both records must be
// equal.
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "capture/process.h"
#include "capture/thread.h"
#include "kernel/abi/capability.h"
#include "kernel/abi/signal.h"
#include "kernel/features.h"
#include "kernel/task_info.h"
#include "kernel/test_child.h"
#include "restore/credentials.h"
#include "restore/limits.h"
#include "restore/remote_calls.h"
#include "restore/scheduler.h"
#include "restore/signals.h"
#include "restore/task.h"
#include "restore/timers.h"

namespace perdure::engine {
namespace {

namespace abi = kernel::abi;
using kernel::Batch;
using kernel::Feature;
using kernel::Features;
using kernel::StoppedThread;
using kernel::TestChild;
using kernel::Tracee;
using restore::RemoteCalls;

struct Records {
  object::Process process;
  object::Thread thread;
};

Records capture_from(StoppedThread* stopped) {
  const pid_t pid = stopped->tracee().tid();
  Records records;
  kernel::PidMap pids;
  const auto view = capture::read_process(pid, &pids, &records.process).value();
  PD_ASSERT(capture::read_thread(pid, pid, &records.thread).ok());
  Batch batch = stopped->batch();
  const auto process_query = capture::ProcessQuery::add(view, records.process, &batch);
  const auto thread_query = capture::ThreadQuery::add(&batch);
  PD_ASSERT(stopped->run(&batch).ok());
  PD_ASSERT(process_query.decode(batch, &records.process).ok());
  PD_ASSERT(thread_query.decode(batch, &records.thread).ok());
  const auto shared = stopped->tracee().pending(Tracee::Queue::kProcess).value();
  PD_ASSERT(capture::put_pending(shared, records.process.mutable_pending()).ok());
  const auto own = stopped->tracee().pending(Tracee::Queue::kThread).value();
  PD_ASSERT(capture::put_pending(own, records.thread.mutable_pending()).ok());
  return records;
}

using Step = std::function<void(RemoteCalls*)>;

Status run_step(StoppedThread* stopped, const object::Process& process, const Step& step) {
  Batch batch = stopped->batch();
  RemoteCalls calls(&batch, restore::name_of(process));
  step(&calls);
  PD_TRY(stopped->run(&batch));
  return calls.check();
}

// All that restore/ puts back of one single-threaded process, in the order of restore/task.h.
Status restore_into(StoppedThread* stopped, const Records& records, const Features& features) {
  const object::Process& process = records.process;
  const object::Thread& thread = records.thread;
  const pid_t pid = stopped->tracee().tid();
  const auto inherited = PD_TRY(kernel::rseq_configuration(pid));
  Status timers;
  const Step steps[] = {
      [&](RemoteCalls* calls) { restore::add_actions(process, calls); },
      [&](RemoteCalls* calls) {
        restore::add_process_pending(process, calls);
        restore::add_thread_pending(process, thread, calls);
        restore::add_altstack(thread, calls);
      },
      [&](RemoteCalls* calls) { timers = restore::add_timer_creation(process, features, calls); },
      [&](RemoteCalls* calls) {
        restore::add_rseq_removal(inherited, calls);
        restore::add_thread_registrations(thread, calls);
        restore::add_personality(process, calls);
        restore::add_process_settings(process, calls);
        restore::add_limits(process, calls);
      },
      [&](RemoteCalls* calls) { restore::add_credentials(thread.credentials(), calls); },
      [&](RemoteCalls* calls) {
        restore::add_thread_end(thread, calls);
        restore::add_process_end(process, calls);
        restore::add_timer_arming(process, calls);
      },
  };
  for (const Step& step : steps) PD_TRY(run_step(stopped, process, step));
  PD_TRY(std::move(timers));
  PD_TRY(restore::apply_process_settings(pid, process));
  return restore::apply_scheduler(pid, thread);
}

// Numbers of one process become those of another, as the PID namespace of a real restore would have
// them.
void renumber(Records* records, pid_t from, pid_t to) {
  records->process.set_pid(to);
  records->thread.set_tid(to);
  for (auto& timer : *records->process.mutable_posix_timers()) {
    if (timer.notify_tid() == from) timer.set_notify_tid(to);
  }
}

// Time has passed in between: what is left is compared apart.
void take_remaining_out(Records* records, std::map<int, uint64_t>* remaining) {
  for (auto& timer : *records->process.mutable_posix_timers()) {
    (*remaining)[timer.id()] = timer.value_ns();
    timer.set_value_ns(timer.value_ns() == 0 ? 0 : 1);
  }
  for (auto& timer : *records->process.mutable_interval_timers()) {
    (*remaining)[-1 - static_cast<int>(timer.which())] = timer.value_us();
    timer.set_value_us(1);
  }
}

// setitimer(2) adds a tick to a CPU-time timer that it arms; the longest tick is that of HZ = 100.
constexpr uint64_t kCpuTickUs = 10'000;

void expect_equal(Records before, Records after) {
  std::map<int, uint64_t> left_before, left_after;
  take_remaining_out(&before, &left_before);
  take_remaining_out(&after, &left_after);
  EXPECT_EQ(before.process.DebugString(), after.process.DebugString());
  EXPECT_EQ(before.thread.DebugString(), after.thread.DebugString());
  ASSERT_EQ(left_before.size(), left_after.size());
  for (const auto& [id, left] : left_before) {
    EXPECT_LE(left_after[id], left + kCpuTickUs) << id;
    EXPECT_GE(left_after[id], left / 10 * 9) << id;
  }
}

void expect_round_trip(const std::function<void()>& body, const Features& features) {
  TestChild first(body);
  TestChild second([] {});
  StoppedThread source(first.pid());
  StoppedThread target(second.pid());
  Records before = capture_from(&source);
  renumber(&before, first.pid(), second.pid());
  const Status restored = restore_into(&target, before, features);
  ASSERT_TRUE(restored.ok()) << restored.error().to_string();
  const Records after = capture_from(&target);
  expect_equal(before, after);
}

Features all_features() { return Features::create("").value(); }

class RoundTrip : public testing::Test {
 protected:
  void SetUp() override {
    if (!all_features().has(Feature::kChangeIds))
      GTEST_SKIP() << "change_ids is missing, see `perdure check`";
  }
};

TEST_F(RoundTrip, AFreshChildStaysAsItIs) {
  expect_round_trip([] {}, all_features());
}

TEST_F(RoundTrip, SignalStateComesBack) {
  static char stack[65536];
  expect_round_trip(
      [] {
        struct sigaction action = {};
        action.sa_sigaction = [](int, siginfo_t*, void*) {};
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        ::sigaddset(&action.sa_mask, SIGTERM);
        ::sigaction(SIGUSR1, &action, nullptr);
        ::signal(SIGHUP, SIG_IGN);
        stack_t alternate = {};
        alternate.ss_sp = stack;
        alternate.ss_size = sizeof(stack);
        ::sigaltstack(&alternate, nullptr);
        sigset_t all;
        ::sigfillset(&all);
        ::sigprocmask(SIG_SETMASK, &all, nullptr);
        sigval value = {};
        for (int i = 0; i < 3; ++i) {
          value.sival_int = i;
          ::sigqueue(::getpid(), SIGRTMIN + 3, value);
        }
        ::kill(::getpid(), SIGTERM);
        ::syscall(SYS_tgkill, ::getpid(), ::gettid(), SIGUSR2);
      },
      all_features());
}

TEST_F(RoundTrip, SignalsTheKernelSentComeBackAsTheKernels) {
  expect_round_trip(
      [] {
        sigset_t all;
        ::sigfillset(&all);
        ::sigprocmask(SIG_SETMASK, &all, nullptr);
        const pid_t child = ::fork();
        if (child == 0) ::_exit(5);
        siginfo_t info;
        ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED);  // SIGCHLD stays pending
        int ends[2];
        PD_ASSERT(::pipe(ends) == 0);
        ::close(ends[0]);
        PD_ASSERT(::write(ends[1], "x", 1) < 0);  // SIGPIPE, pending in the thread
        ::close(ends[1]);
      },
      all_features());
}

void set_up_timers() {
  abi::SigEvent event = {};
  event.signal = SIGRTMIN + 1;
  int ids[6];
  for (int i = 0; i < 6; ++i) {
    event.value = uint64_t{1000} + static_cast<uint64_t>(i);
    event.notify = i == 4 ? SIGEV_THREAD_ID : i == 5 ? SIGEV_NONE : SIGEV_SIGNAL;
    event.tid = ::getpid();
    const clockid_t clock = i == 3 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
    PD_ASSERT(::syscall(SYS_timer_create, clock, &event, &ids[i]) == 0);
    itimerspec spec = {{i, 0}, {500 + i, 7}};
    PD_ASSERT(::syscall(SYS_timer_settime, ids[i], 0, &spec, nullptr) == 0);
  }
  ::syscall(SYS_timer_delete, ids[0]);
  ::syscall(SYS_timer_delete, ids[2]);
  itimerspec disarm = {};
  ::syscall(SYS_timer_settime, ids[1], 0, &disarm, nullptr);
  itimerval interval = {{7, 0}, {900, 0}};
  ::setitimer(ITIMER_REAL, &interval, nullptr);
  ::setitimer(ITIMER_PROF, &interval, nullptr);
}

TEST_F(RoundTrip, TimersComeBackWithTheirIds) {
  if (!all_features().has(Feature::kTimerIds))
    GTEST_SKIP() << "timer_ids is missing, see `perdure check`";
  expect_round_trip(set_up_timers, all_features());
}

TEST_F(RoundTrip, TimersComeBackWithTheirIdsByCounting) {
  expect_round_trip(set_up_timers, Features::create("timer_ids").value());
}

TEST_F(RoundTrip, SettingsComeBack) {
  expect_round_trip(
      [] {
        ::umask(0127);
        ::prctl(PR_SET_NAME, "fifteen chars!!");
        ::prctl(PR_SET_TIMERSLACK, 777);
        ::prctl(PR_SET_CHILD_SUBREAPER, 1);
        ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
        ::prctl(PR_SET_PDEATHSIG, SIGTERM);
        ::prctl(PR_SET_DUMPABLE, 0);
        rlimit64 limit = {100, 200};
        ::setrlimit64(RLIMIT_NOFILE, &limit);
        limit = {0, 0};
        ::setrlimit64(RLIMIT_CORE, &limit);
        ::setpriority(PRIO_PROCESS, 0, 11);
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET(0, &cpus);
        ::sched_setaffinity(0, sizeof(cpus), &cpus);
        ::syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 3);
      },
      all_features());
}

TEST_F(RoundTrip, SchedulingPoliciesComeBack) {
  if (!all_features().has(Feature::kRaisePriority))
    GTEST_SKIP() << "raise_priority is missing, see `perdure check`";
  for (int policy : {SCHED_FIFO, SCHED_RR, SCHED_IDLE, SCHED_BATCH}) {
    expect_round_trip(
        [&] {
          const bool real_time = policy == SCHED_FIFO || policy == SCHED_RR;
          sched_param parameters = {real_time ? 5 : 0};
          PD_ASSERT(::sched_setscheduler(0, policy | SCHED_RESET_ON_FORK, &parameters) == 0);
        },
        all_features());
  }
}

void become(uid_t uid, gid_t gid) {
  const gid_t groups[] = {gid, gid + 1, 5000000};
  PD_ASSERT(::setgroups(3, groups) == 0);
  PD_ASSERT(::setresgid(gid, gid, gid) == 0);
  PD_ASSERT(::setresuid(uid, uid, uid) == 0);
}

void set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  abi::CapabilityHeader header{abi::kCapabilityVersion, 0};
  abi::CapabilityData data = abi::capability_data(effective, permitted, inheritable);
  PD_ASSERT(::syscall(SYS_capset, &header, &data) == 0);
}

TEST_F(RoundTrip, AnOrdinaryUserComesBack) {
  expect_round_trip([] { become(1234, 5678); }, all_features());
}

TEST_F(RoundTrip, RootWithoutGroupsComesBack) {
  expect_round_trip([] { PD_ASSERT(::setgroups(0, nullptr) == 0); }, all_features());
}

TEST_F(RoundTrip, IdsThatDifferComeBack) {
  expect_round_trip(
      [] {
        PD_ASSERT(::setresgid(1, 2, 3) == 0);
        PD_ASSERT(::setresuid(11, 12, 13) == 0);
        ::setfsuid(11);
        ::prctl(PR_SET_DUMPABLE, 1);
      },
      all_features());
}

TEST_F(RoundTrip, RootThatTookOnAUsersFileIdsComesBack) {
  expect_round_trip([] { ::setfsuid(4321); }, all_features());
}

TEST_F(RoundTrip, AUserWithAnAmbientCapabilityComesBack) {
  expect_round_trip(
      [] {
        const uint64_t bind = abi::capability_bit(CAP_NET_BIND_SERVICE);
        PD_ASSERT(::prctl(PR_SET_KEEPCAPS, 1) == 0);
        become(1234, 5678);
        set_capabilities(bind, bind, bind);
        PD_ASSERT(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) == 0);
        PD_ASSERT(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
      },
      all_features());
}

TEST_F(RoundTrip, ABoundedAndLockedDownRootComesBack) {
  expect_round_trip(
      [] {
        // Inheritable capabilities may lie outside of the bounding set if they were there before.
        const uint64_t kept = abi::capability_bit(CAP_CHOWN) | abi::capability_bit(CAP_SYS_ADMIN);
        const uint64_t working = kept | abi::capability_bit(CAP_SETPCAP);
        set_capabilities(working, working, kept);
        for (int capability : {CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_NET_RAW}) {
          PD_ASSERT(::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0);
        }
        PD_ASSERT(::prctl(PR_SET_SECUREBITS,
                          SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE) == 0);
        set_capabilities(abi::capability_bit(CAP_CHOWN), kept, kept);
      },
      all_features());
}

TEST_F(RoundTrip, ALimitAboveTheEnginesIsAnErrorThatNamesIt) {
  if (all_features().has(Feature::kRaiseLimits))
    GTEST_SKIP() << "a limit can be raised here: raise_limits is there";
  TestChild child([] {});
  StoppedThread stopped(child.pid());
  rlimit64 own;
  ASSERT_EQ(::getrlimit64(RLIMIT_NOFILE, &own), 0);
  object::Process process;
  process.set_pid(42);
  process.set_comm("db");
  object::Limit* limit = process.add_limits();
  limit->set_resource(RLIMIT_NOFILE);
  limit->set_soft(own.rlim_cur);
  limit->set_hard(own.rlim_max + 1);
  const Status refused =
      run_step(&stopped, process, [&](RemoteCalls* calls) { restore::add_limits(process, calls); });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kPermission);
  EXPECT_NE(refused.error().message().find("pid 42 (db)"), std::string::npos);
  EXPECT_NE(refused.error().message().find("open files"), std::string::npos);
  EXPECT_NE(refused.error().remedy(), "");
}

TEST_F(RoundTrip, ATimerIdTooHighForCountingIsRefused) {
  object::Process process;
  process.add_posix_timers()->set_id(restore::kCountedTimerIdsMax + 1);
  Batch batch{RemoteAddr(4096)};
  RemoteCalls calls(&batch, "pid 1 (x)");
  const Status refused =
      restore::add_timer_creation(process, Features::create("timer_ids").value(), &calls);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kUnavailable);
  EXPECT_TRUE(batch.empty());
}

TEST_F(RoundTrip, CredentialsThatCannotComeBackAreToldBefore) {
  object::Credentials wanted;
  wanted.set_cap_permitted(abi::capability_bit(CAP_SYS_ADMIN) | 1);
  EXPECT_TRUE(restore::check_credentials_possible(wanted, ~0ull, ~0ull, "pid 1 (x)").ok());
  const Status refused = restore::check_credentials_possible(wanted, 1, ~0ull, "pid 1 (x)");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("CAP_SYS_ADMIN"), std::string::npos);
}

}  // namespace
}  // namespace perdure::engine
