#include "capture/blocked_call.h"

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "capture/wait_seen.h"
#include "kernel/proc/read.h"

namespace perdure::capture {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
SystemClock real_clock;

// A child asleep in one call, stopped after it has slept for a moment.
class Sleeper {
 public:
  Sleeper(long number, void (*body)()) : pid_(fork()) {
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing outlives a test that is killed
      for (;;) body();
    }
    WaitSeen seen;
    while (seen.number != number) seen = look_at_wait(pid_, pid_, &task_clock_, real_clock);
    usleep(100'000);
    wait_ = look_at_wait(pid_, pid_, &task_clock_, real_clock);
  }
  ~Sleeper() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  SettledCall settle() {
    kernel::Tracee tracee = kernel::Tracee::seize(pid_).value();
    uint64_t now = real_clock.monotonic_ns();
    EXPECT_TRUE(tracee.interrupt().ok());
    EXPECT_TRUE(tracee.wait_rest(nullptr).ok());
    SettleInput input{pid_, tracee.registers().value(), wait_, now, false};
    return settle_call(pid_, input, &book_).value();
  }
  // Lets the child go on and looks at the call that it continues.
  void look_again() {
    do {
      wait_ = look_at_wait(pid_, pid_, &task_clock_, real_clock);
    } while (wait_.number < 0);
  }

 private:
  TaskClock task_clock_;
  WaitBook book_;
  pid_t pid_;
  WaitSeen wait_;
};

void expect_about(uint64_t left_ns, uint64_t at_most_ns) {
  EXPECT_LE(left_ns, at_most_ns - 90'000'000);
  EXPECT_GE(left_ns, at_most_ns - kSecond);
}

TEST(BlockedCall, SleepWithoutRemainderKeepsItsTimeLeft) {
  Sleeper sleeper(SYS_nanosleep, [] {
    timespec ten{10, 0};
    syscall(SYS_nanosleep, &ten, nullptr);
  });
  SettledCall settled = sleeper.settle();
  EXPECT_EQ(settled.blocked.number(), static_cast<uint32_t>(SYS_nanosleep));
  expect_about(settled.blocked.remaining_ns(), 10 * kSecond);
  EXPECT_EQ(settled.saved.rax, static_cast<uint64_t>(SYS_nanosleep));
  EXPECT_EQ(settled.saved.rip + 2, settled.live.rip);
  // Interrupted again, the kernel shows only restart_syscall; the time goes on from the first
  // beginning.
  sleeper.look_again();
  SettledCall again = sleeper.settle();
  EXPECT_EQ(again.blocked.number(), static_cast<uint32_t>(SYS_nanosleep));
  EXPECT_LT(again.blocked.remaining_ns(), settled.blocked.remaining_ns());
  expect_about(again.blocked.remaining_ns(), 10 * kSecond);
}

TEST(BlockedCall, SleepWithRemainderAndPollKeepTheirTimeLeft) {
  Sleeper with_remainder(SYS_clock_nanosleep, [] {
    timespec ten{10, 0};
    timespec left{};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &ten, &left);
  });
  expect_about(with_remainder.settle().blocked.remaining_ns(), 10 * kSecond);
  Sleeper polling(SYS_poll, [] { syscall(SYS_poll, nullptr, 0, 10'000); });
  expect_about(polling.settle().blocked.remaining_ns(), 10 * kSecond);
}

TEST(BlockedCall, AbsoluteFutexWaitIsMadeAnew) {
  Sleeper sleeper(SYS_futex, [] {
    timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += 10;
    int word = 0;
    syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &end, nullptr, FUTEX_BITSET_MATCH_ANY);
  });
  // Every engine sees the call itself, also one that knows nothing of the last.
  SettledCall settled = sleeper.settle();
  EXPECT_EQ(settled.live.rax, static_cast<uint64_t>(SYS_futex));
  EXPECT_EQ(settled.live.rip, settled.saved.rip);
  EXPECT_EQ(static_cast<int64_t>(settled.live.orig_rax), -1);
  EXPECT_EQ(settled.blocked.number(), 0u);
}

TEST(BlockedCall, EpollWaitIsUndoneWithItsTimeLeft) {
  Sleeper sleeper(SYS_epoll_wait, [] {
    epoll_event event;
    syscall(SYS_epoll_wait, epoll_create1(0), &event, 1, 10'000);
  });
  SettledCall settled = sleeper.settle();
  EXPECT_EQ(settled.live.rax, static_cast<uint64_t>(SYS_epoll_wait));
  EXPECT_EQ(static_cast<int64_t>(settled.live.orig_rax), -1);
  EXPECT_EQ(settled.live.r10, 10'000u);  // the program's registers stay its own
  expect_about(settled.blocked.remaining_ns(), 10 * kSecond);
}

TEST(BlockedCall, DeliverableSignalKeepsEintr) {
  kernel::Registers registers{};
  registers.orig_rax = SYS_epoll_wait;
  registers.rax = static_cast<uint64_t>(-EINTR);
  registers.rip = 0x1002;
  WaitBook book;
  SettledCall settled = settle_call(1, SettleInput{1, registers, {}, 1, true}, &book).value();
  EXPECT_EQ(static_cast<int64_t>(settled.live.rax), -EINTR);
  EXPECT_EQ(settled.live.rip, 0x1002u);
  registers.r10 = ~0ull;  // no limit
  settled = settle_call(1, SettleInput{1, registers, {}, 1, false}, &book).value();
  EXPECT_EQ(settled.live.rip, 0x1000u);
}

TEST(BlockedCall, CompletedCallStaysCompleted) {
  kernel::Registers registers{};
  registers.orig_rax = SYS_read;
  registers.rax = 5;
  registers.rip = 0x1002;
  WaitBook book;
  SettledCall settled = settle_call(1, SettleInput{1, registers, {}, 1, false}, &book).value();
  EXPECT_EQ(settled.saved.rax, 5u);
  EXPECT_EQ(settled.saved.rip, 0x1002u);
  EXPECT_EQ(static_cast<int64_t>(settled.saved.orig_rax), -1);
}

}  // namespace
}  // namespace perdure::capture
