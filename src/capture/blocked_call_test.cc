#include "capture/blocked_call.h"

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "capture/wait_seen.h"
#include "kernel/features.h"
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
    SettleInput input{pid_, tracee.registers().value(), wait_, now, now, false};
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
  SettledCall settled = settle_call(1, SettleInput{1, registers, {}, 1, 1, true}, &book).value();
  EXPECT_EQ(static_cast<int64_t>(settled.live.rax), -EINTR);
  EXPECT_EQ(settled.live.rip, 0x1002u);
  registers.r10 = ~0ull;  // no limit
  settled = settle_call(1, SettleInput{1, registers, {}, 1, 1, false}, &book).value();
  EXPECT_EQ(settled.live.rip, 0x1000u);
}

TEST(BlockedCall, CompletedCallStaysCompleted) {
  kernel::Registers registers{};
  registers.orig_rax = SYS_read;
  registers.rax = 5;
  registers.rip = 0x1002;
  WaitBook book;
  SettledCall settled = settle_call(1, SettleInput{1, registers, {}, 1, 1, false}, &book).value();
  EXPECT_EQ(settled.saved.rax, 5u);
  EXPECT_EQ(settled.saved.rip, 0x1002u);
  EXPECT_EQ(static_cast<int64_t>(settled.saved.orig_rax), -1);
}

// A child that waits in one call, stopped again and again before anybody looks how it waits.
class OftenStopped {
 public:
  explicit OftenStopped(void (*body)()) : pid_(fork()) {
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      body();
      _exit(0);
    }
    book_.use_marks();
  }
  ~OftenStopped() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  // Until the child is in the call.
  void await(long number) {
    TaskClock task_clock;
    while (look_at_wait(pid_, pid_, &task_clock, real_clock).number != number) usleep(100);
  }
  // One stop; between(): what happens while the thread stands still. Then it goes on, or is stopped
  // again before it has come to its call.
  enum class Next : uint8_t { kGoOn, kStopAgain };
  template <typename Between>
  void stop(Next next, Between between) {
    kernel::Tracee tracee = kernel::Tracee::seize(pid_).value();
    ASSERT_TRUE(tracee.interrupt().ok() && tracee.wait_rest(nullptr).ok());
    for (int rounds = next == Next::kStopAgain ? 2 : 1; rounds > 0; --rounds) {
      const uint64_t now = real_clock.monotonic_ns();
      const SettledCall settled = settle_thread(pid_, tracee, {}, now, &book_).value();
      usleep(5000);
      between(settled, now);
      if (rounds == 1) continue;
      ASSERT_TRUE(tracee.interrupt().ok() && tracee.resume().ok() &&
                  tracee.wait_rest(nullptr).ok());
    }
    ASSERT_TRUE(tracee.detach().ok());
    usleep(next == Next::kStopAgain ? 0 : 3000);
  }
  pid_t pid() const { return pid_; }
  uint64_t deadline_ns() const { return book_.waits().at(pid_).deadline_ns; }

 private:
  pid_t pid_;
  WaitBook book_;
};

TEST(BlockedCall, ADeadlineStaysHoweverOftenTheCallIsMadeAgain) {
  if (!kernel::Features::create("").value().has(kernel::Feature::kCallMarks))
    GTEST_SKIP() << "call_marks is missing, see `perdure check`";
  OftenStopped child([] {
    epoll_event event;
    epoll_wait(epoll_create1(0), &event, 1, 100'000);
  });
  child.await(SYS_epoll_wait);
  uint64_t deadline = 0;
  for (int stops = 0; stops < 40; ++stops) {
    const auto next = stops % 2 == 0 ? OftenStopped::Next::kGoOn : OftenStopped::Next::kStopAgain;
    child.stop(next, [&](const SettledCall& settled, uint64_t now) {
      ASSERT_EQ(settled.blocked.number(), static_cast<uint32_t>(SYS_epoll_wait));
      EXPECT_EQ(settled.saved.rax, static_cast<uint64_t>(SYS_epoll_wait)) << "a mark in the record";
      if (deadline == 0) deadline = now + settled.blocked.remaining_ns();
      EXPECT_EQ(now + settled.blocked.remaining_ns(), deadline) << "stop " << stops;
    });
  }
}

TEST(BlockedCall, TheTimeOfAStopIsTakenOffALimitThatTheKernelKeeps) {
  if (!kernel::Features::create("").value().has(kernel::Feature::kCallMarks))
    GTEST_SKIP() << "call_marks is missing, see `perdure check`";
  static timespec limit;
  OftenStopped child([] {
    limit = {100, 0};
    syscall(SYS_pselect6, 0, nullptr, nullptr, nullptr, &limit, nullptr);
  });
  child.await(SYS_pselect6);
  uint64_t deadline = 0;
  for (int stops = 0; stops < 40; ++stops) {
    child.stop(OftenStopped::Next::kGoOn, [&](const SettledCall& settled, uint64_t now) {
      EXPECT_EQ(settled.saved.rax, static_cast<uint64_t>(SYS_pselect6)) << "a mark in the record";
      if (deadline == 0) deadline = child.deadline_ns();
      EXPECT_EQ(child.deadline_ns(), deadline) << "stop " << stops;
      timespec left{};
      ASSERT_TRUE(kernel::read_memory(child.pid(), RemoteAddr(reinterpret_cast<uint64_t>(&limit)),
                                      MutableBytes(reinterpret_cast<uint8_t*>(&left), sizeof(left)))
                      .ok());
      const uint64_t left_ns =
          static_cast<uint64_t>(left.tv_sec) * kSecond + static_cast<uint64_t>(left.tv_nsec);
      EXPECT_LE(left_ns, deadline - now);
    });
  }
}

TEST(BlockedCall, ANewCallAtTheSamePlaceHasItsWholeLimit) {
  if (!kernel::Features::create("").value().has(kernel::Feature::kCallMarks))
    GTEST_SKIP() << "call_marks is missing, see `perdure check`";
  static int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  OftenStopped child([] {
    const int epoll = epoll_create1(0);
    epoll_event event = {EPOLLIN, {}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
    char byte;
    while (epoll_wait(epoll, &event, 1, 100'000) == 1) (void)!read(ends[0], &byte, 1);
  });
  child.await(SYS_epoll_wait);
  uint64_t last = 0;
  for (int stops = 0; stops < 20; ++stops) {
    child.stop(OftenStopped::Next::kGoOn, [&](const SettledCall& settled, uint64_t now) {
      EXPECT_GT(now + settled.blocked.remaining_ns(), last) << "stop " << stops;
      last = now + settled.blocked.remaining_ns();
      // It is there before the thread goes on: the call does not sleep, and the next one does.
      ASSERT_EQ(write(ends[1], "x", 1), 1);
    });
    int queued = 1;
    while (queued != 0) ASSERT_EQ(ioctl(ends[0], FIONREAD, &queued), 0);
    child.await(SYS_epoll_wait);
  }
}

}  // namespace
}  // namespace perdure::capture
