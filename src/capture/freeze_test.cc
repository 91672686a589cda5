#include "capture/freeze.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "capture/blocked_call.h"
#include "capture/wait_seen.h"

namespace perdure::capture {
namespace {

struct Target {
  explicit Target(void (*body)()) : pid(fork()) {
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing outlives a test that is killed
      setpgid(0, 0);
      body();
      _exit(0);
    }
  }
  ~Target() {
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  pid_t pid;
};

SystemClock real_clock;

Status freeze_tree(
    pid_t root, const std::function<Status(Frozen&)>& body = [](Frozen&) { return Status(); }) {
  static TaskClock task_clock;
  Scope scope;
  scope.roots = {root};
  static WaitBook waits;
  return while_frozen(scope, &task_clock, &waits, real_clock, body);
}

void* spin(void*) {
  static std::atomic<unsigned> count;
  for (;;) ++count;
}

void threads_and_forks() {
  pthread_t thread;
  for (int i = 0; i < 4; ++i) pthread_create(&thread, nullptr, spin, nullptr);
  for (;;) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, nullptr, 0);
  }
}

void sleep_long() {
  for (;;) sleep(1000);
}

void vfork_often() {
  for (;;) {
    pid_t child = vfork();  // NOLINT(clang-analyzer-security.insecureAPI.vfork)
    if (child == 0) {
      execl("/bin/true", "true", nullptr);
      _exit(127);
    }
    waitpid(child, nullptr, 0);
  }
}

TEST(Freeze, NothingRunsWhileFrozenAndAllRunsAfterwards) {
  Target target(threads_and_forks);
  usleep(20000);  // lets the storm begin; nothing depends on how far it got
  for (int i = 0; i < 50; ++i) {
    size_t threads = 0;
    const Status frozen = freeze_tree(target.pid, [&](Frozen& all) -> Status {
      for (StoppedProcess& process : all.processes()) {
        for (StoppedThread& thread : process.threads) {
          ++threads;
          EXPECT_TRUE(thread.tracee.stopped());
        }
      }
      return {};
    });
    ASSERT_TRUE(frozen.ok()) << frozen.error().to_string();
    EXPECT_GE(threads, 1u);
  }
  EXPECT_EQ(kill(target.pid, 0), 0);
}

TEST(Freeze, VforkStormIsFrozenInTheEnd) {
  Target target(vfork_often);
  for (int i = 0; i < 20; ++i) {
    const Status frozen = freeze_tree(target.pid);
    ASSERT_TRUE(frozen.ok()) << frozen.error().to_string();
  }
}

void* run_true(void*) {
  execl("/bin/true", "true", nullptr);
  _exit(127);
}

// Ends with status 1 if a program that a thread executed did not end as it should.
void execute_from_threads_often() {
  for (;;) {
    const pid_t child = fork();
    if (child == 0) {
      pthread_t thread;
      for (int i = 0; i < 2; ++i) pthread_create(&thread, nullptr, spin, nullptr);
      pthread_create(&thread, nullptr, run_true, nullptr);
      for (;;) pause();
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) _exit(1);
  }
}

// The thread takes over the main thread's number and ends all others, whether they rest or not.
TEST(Freeze, ThreadsThatExecuteProgramsAreFrozen) {
  Target target(execute_from_threads_often);
  for (int i = 0; i < 150; ++i) {
    const Status frozen = freeze_tree(target.pid);
    ASSERT_TRUE(frozen.ok()) << frozen.error().to_string();
  }
  int status = 0;
  EXPECT_EQ(waitpid(target.pid, &status, WNOHANG), 0) << "status " << status;
}

TEST(Freeze, SleepBeginsWhereTheSchedulerSaysSo) {
  Target target(sleep_long);
  usleep(50000);
  TaskClock task_clock;
  WaitSeen seen = look_at_wait(target.pid, target.pid, &task_clock, real_clock);
  EXPECT_EQ(seen.number, SYS_clock_nanosleep);
  ASSERT_NE(seen.asleep_since_ns, 0u);
  int64_t asleep_ms =
      static_cast<int64_t>(real_clock.monotonic_ns() - seen.asleep_since_ns) / 1000000;
  EXPECT_GE(asleep_ms, 1);
  EXPECT_LE(asleep_ms, 2000);
}

TEST(Freeze, EndedGroupIsGone) {
  pid_t pid;
  {
    Target target(sleep_long);
    pid = target.pid;
  }
  const Status frozen = freeze_tree(pid);
  ASSERT_FALSE(frozen.ok());
  EXPECT_EQ(frozen.error().code(), Code::kGone);
}

}  // namespace
}  // namespace perdure::capture
