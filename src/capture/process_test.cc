#include "capture/process.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "kernel/abi/signal.h"
#include "kernel/features.h"
#include "kernel/test_child.h"

namespace perdure::capture {
namespace {

using kernel::Batch;
using kernel::PidMap;
using kernel::StoppedThread;
using kernel::TestChild;

// The whole record of a child, as a checkpoint makes it.
object::Process record_of(pid_t pid) {
  StoppedThread stopped(pid);
  PidMap pids;
  object::Process record;
  const ProcessView view = read_process(pid, &pids, &record).value();
  Batch batch = stopped.batch();
  const ProcessQuery query = ProcessQuery::add(view, record, &batch);
  PD_ASSERT(stopped.run(&batch).ok());
  const Status decoded = query.decode(batch, &record);
  EXPECT_TRUE(decoded.ok()) << decoded.error().to_string();
  return record;
}

const object::SignalAction* action_of(const object::Process& record, int signal) {
  const auto found = std::find_if(record.actions().begin(), record.actions().end(),
                                  [&](const object::SignalAction& action) {
                                    return action.signal() == static_cast<uint32_t>(signal);
                                  });
  return found == record.actions().end() ? nullptr : &*found;
}

TEST(ProcessRecord, IdsNamesAndPlacesAreThoseOfTheChild) {
  TestChild child([] {
    ::setpgid(0, 0);
    ::prctl(PR_SET_NAME, "ids");
    PD_ASSERT(::chdir("/usr") == 0);
    ::umask(0037);
  });
  const object::Process record = record_of(child.pid());
  EXPECT_EQ(record.pid(), child.pid());
  EXPECT_EQ(record.parent_pid(), ::getpid());
  EXPECT_EQ(record.process_group(), child.pid());
  EXPECT_EQ(record.session(), ::getsid(0));
  EXPECT_EQ(record.comm(), "ids");
  EXPECT_EQ(record.cwd(), "/usr");
  EXPECT_EQ(record.root(), "/");
  EXPECT_EQ(record.umask(), 0037u);
  EXPECT_EQ(record.exit_signal(), SIGCHLD);
  EXPECT_EQ(record.state(), object::Process::RUNNING);
  EXPECT_GE(record.command_line_size(), 1);
  EXPECT_EQ(record.limits_size(), static_cast<int>(RLIM_NLIMITS));
}

TEST(ProcessRecord, SettingsByPrctlAreRead) {
  TestChild child([] {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    ::prctl(PR_SET_DUMPABLE, 0);
  });
  const object::Process record = record_of(child.pid());
  EXPECT_TRUE(record.child_subreaper());
  EXPECT_TRUE(record.thp_disabled());
  EXPECT_EQ(record.dumpable(), 0u);
}

TEST(ProcessRecord, HandlersIgnoredSignalsAndChildFlagsAreRead) {
  static constexpr auto kHandler = [](int) {};
  TestChild child([] {
    struct sigaction action = {};
    action.sa_handler = kHandler;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    ::sigaddset(&action.sa_mask, SIGINT);
    ::sigaction(SIGUSR1, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    action = {};
    action.sa_handler = SIG_DFL;
    action.sa_flags = SA_NOCLDWAIT;
    ::sigaction(SIGCHLD, &action, nullptr);
  });
  const object::Process record = record_of(child.pid());
  const object::SignalAction* user = action_of(record, SIGUSR1);
  ASSERT_NE(user, nullptr);
  EXPECT_EQ(user->handler(), reinterpret_cast<uint64_t>(static_cast<void (*)(int)>(kHandler)));
  EXPECT_EQ(user->flags() & (SA_RESTART | SA_ONSTACK),
            static_cast<uint64_t>(SA_RESTART | SA_ONSTACK));
  EXPECT_EQ(user->mask(), kernel::abi::signal_bit(SIGINT));
  EXPECT_NE(user->restorer(), 0u);
  ASSERT_NE(action_of(record, SIGPIPE), nullptr);
  EXPECT_EQ(action_of(record, SIGPIPE)->handler(), 1u);
  ASSERT_NE(action_of(record, SIGCHLD), nullptr);
  EXPECT_NE(action_of(record, SIGCHLD)->flags() & SA_NOCLDWAIT, 0u);
  EXPECT_EQ(action_of(record, SIGTERM), nullptr);
}

TEST(ProcessRecord, TimersTellTheTimeThatIsLeft) {
  TestChild child([] {
    itimerval interval = {{3, 0}, {1000, 0}};
    ::setitimer(ITIMER_REAL, &interval, nullptr);
    kernel::abi::SigEvent event = {};
    event.value = 42;
    event.signal = SIGUSR1;
    int id = -1;
    ::syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id);
    itimerspec spec = {{0, 5}, {2000, 0}};
    ::syscall(SYS_timer_settime, id, 0, &spec, nullptr);
    ::syscall(SYS_timer_create, CLOCK_REALTIME, &event, &id);
  });
  const object::Process record = record_of(child.pid());
  ASSERT_EQ(record.interval_timers_size(), 1);
  EXPECT_EQ(record.interval_timers(0).which(), static_cast<uint32_t>(ITIMER_REAL));
  EXPECT_EQ(record.interval_timers(0).interval_us(), 3'000'000u);
  EXPECT_LE(record.interval_timers(0).value_us(), 1000'000'000u);
  EXPECT_GT(record.interval_timers(0).value_us(), 900'000'000u);
  ASSERT_EQ(record.posix_timers_size(), 2);
  const bool first = record.posix_timers(0).id() == 0;
  const object::PosixTimer& armed = record.posix_timers(first ? 0 : 1);
  const object::PosixTimer& disarmed = record.posix_timers(first ? 1 : 0);
  EXPECT_EQ(armed.clock(), CLOCK_MONOTONIC);
  EXPECT_EQ(armed.sigev_value(), 42u);
  EXPECT_EQ(armed.signal(), SIGUSR1);
  EXPECT_EQ(armed.interval_ns(), 5u);
  EXPECT_LE(armed.value_ns(), 2000'000'000'000u);
  EXPECT_GT(armed.value_ns(), 1900'000'000'000u);
  EXPECT_EQ(disarmed.value_ns(), 0u);
}

TEST(ProcessRecord, ATimerOnTheCallersCpuTimeIsRefusedOnlyBesideOtherThreads) {
  const std::vector<kernel::proc::Timer> timers = {
      {.id = 3, .clock = -2, .notify = SIGEV_NONE, .signal = 0, .value = 0, .notify_pid = 0}};
  PidMap pids;
  object::Process record;
  EXPECT_TRUE(put_posix_timers(timers, 1, &pids, &record).ok());
  const Status refused = put_posix_timers(timers, 2, &pids, &record);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kUnsupported);
}

TEST(ProcessRecord, AZombieKeepsIdsAndItsWaitStatus) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(3);
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  PidMap pids;
  object::Process record;
  EXPECT_TRUE(read_process(pid, &pids, &record).ok());
  EXPECT_EQ(record.state(), object::Process::ZOMBIE);
  EXPECT_EQ(record.exit_code(), 3 << 8);
  EXPECT_EQ(record.pid(), pid);
  EXPECT_EQ(record.parent_pid(), ::getpid());
  ::waitpid(pid, nullptr, 0);
  object::Process gone;
  EXPECT_EQ(read_process(pid, &pids, &gone).error().code(), Code::kGone);
}

// The program is pid 1 of a namespace of its own: the record has its numbers, not ours.
TEST(ProcessRecord, NumbersAreThoseOfTheProgramsNamespace) {
  if (!kernel::Features::create("").value().has(kernel::Feature::kNamespaces)) {
    GTEST_SKIP() << "namespaces is missing, see `perdure check`";
  }
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t pid = static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0));
  if (pid == 0) {
    ::setsid();
    (void)!::write(ready[1], "x", 1);
    while (true) ::pause();
  }
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  ::close(ready[1]);
  const object::Process record = record_of(pid);
  EXPECT_EQ(record.pid(), 1);
  EXPECT_EQ(record.parent_pid(), 0);
  EXPECT_EQ(record.session(), 1);
  EXPECT_EQ(record.process_group(), 1);
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

}  // namespace
}  // namespace perdure::capture
