#include "kernel/tracer_thread.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "kernel/proc/read.h"
#include "kernel/proc/stat.h"
#include "kernel/proc/status.h"
#include "kernel/tracee.h"

namespace perdure::kernel {
namespace {

pid_t make_child(void (*body)()) {
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    _exit(0);
  }
  return pid;
}

bool holds_soon(const std::function<bool()>& condition) {
  constexpr int kTriesMax = 300'000;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    if (condition()) return true;
    usleep(100);
  }
  return false;
}

void pause_for_ever() {
  for (;;) pause();
}

TEST(TracerThread, PassesTheResultOn) {
  EXPECT_TRUE(in_tracer_thread([] { return Status(); }).ok());
  const Status failed = in_tracer_thread([]() -> Status { return Error(Code::kBusy, "not now"); });
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code(), Code::kBusy);
}

// Stops of which nobody heard: asked for, begun, and taken.
TEST(TracerThread, LetsGoOfThreadsInEveryState) {
  const pid_t child = make_child(pause_for_ever);
  for (int state = 0; state < 3; ++state) {
    ASSERT_TRUE(in_tracer_thread([&]() -> Status {
                  Tracee tracee = PD_TRY(Tracee::seize(child));
                  PD_TRY(tracee.interrupt());
                  if (state == 1) usleep(2000);
                  if (state == 2) PD_TRY(tracee.wait_rest(nullptr));
                  tracee.abandon();
                  return {};
                }).ok());
    const Result<proc::TaskStatus> status = proc::read_status(child);
    ASSERT_TRUE(status.ok());
    EXPECT_EQ(status->tracer_pid, 0) << "state " << state;
  }
  EXPECT_TRUE(holds_soon([&] {
    return proc::read_text(proc::path_of(child, "syscall"))
        ->starts_with(std::to_string(SYS_pause) + " ");
  }));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

void end_main_thread_when_told() {
  static std::atomic<bool> told{false};
  signal(SIGUSR1, [](int) { told = true; });
  std::thread([] { pause_for_ever(); }).detach();
  while (!told) usleep(1000);
  syscall(SYS_exit, 0);
}

char state_of(pid_t pid) {
  const Result<proc::Stat> stat = proc::read_stat(pid);
  return stat.ok() ? stat->state : '?';
}

// Its parent, who is ourselves, hears of the end of the whole process.
TEST(TracerThread, LetsGoOfAMainThreadThatEndedBeforeTheOthers) {
  const pid_t child = make_child(end_main_thread_when_told);
  ASSERT_TRUE(holds_soon([&] { return proc::threads_of(child)->size() == 2; }));
  ASSERT_TRUE(in_tracer_thread([&]() -> Status {
                Tracee tracee = PD_TRY(Tracee::seize(child));
                kill(child, SIGUSR1);
                EXPECT_TRUE(holds_soon([&] {
                  const auto event = next_trace_event();
                  if (event) (void)tracee.take_stop(event->status);
                  if (tracee.stopped()) (void)tracee.resume();
                  return state_of(child) == 'Z';
                }));
                tracee.abandon();
                return {};
              }).ok());
  kill(child, SIGKILL);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
}

TEST(TracerThread, TellsOfItsOwnTraceesOnly) {
  const pid_t traced = make_child(pause_for_ever);
  const pid_t ended = make_child([] {});
  ASSERT_TRUE(in_tracer_thread([&]() -> Status {
                Tracee tracee = PD_TRY(Tracee::seize(traced));
                PD_TRY(tracee.interrupt());
                std::optional<TraceEvent> event;
                EXPECT_TRUE(holds_soon([&] { return (event = next_trace_event()).has_value(); }));
                EXPECT_EQ(event->tid, traced);
                EXPECT_TRUE(WIFSTOPPED(event->status));
                tracee.abandon();
                return {};
              }).ok());
  EXPECT_EQ(waitpid(ended, nullptr, 0), ended);
  kill(traced, SIGKILL);
  waitpid(traced, nullptr, 0);
}

}  // namespace
}  // namespace perdure::kernel
