#include "kernel/proc/timers.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <ctime>

#include "kernel/abi/signal.h"
#include "kernel/test_child.h"

namespace perdure::kernel::proc {
namespace {

TEST(Timers, TheFormOfTheManPageIsRead) {
  const auto timers =
      parse_timers(
          "ID: 1\nsignal: 60/00007fff86e452a8\nnotify: signal/pid.2634\nClockID: 0\n"
          "ID: 0\nsignal: 60/00007fff86e452a8\nnotify: signal/tid.2635\nClockID: -6\n"
          "ID: 7\nsignal: 0/0\nnotify: none/pid.2634\nClockID: 1\n")
          .value();
  ASSERT_EQ(timers.size(), 3u);
  EXPECT_EQ(timers[0].id, 1);
  EXPECT_EQ(timers[0].signal, 60);
  EXPECT_EQ(timers[0].value, 0x7fff86e452a8u);
  EXPECT_EQ(timers[0].notify, SIGEV_SIGNAL);
  EXPECT_EQ(timers[0].notify_pid, 2634);
  EXPECT_EQ(timers[1].notify, SIGEV_SIGNAL | SIGEV_THREAD_ID);
  EXPECT_EQ(timers[1].clock, -6);
  EXPECT_EQ(timers[2].notify, SIGEV_NONE);
}

TEST(Timers, BrokenTextsAreRefused) {
  EXPECT_FALSE(parse_timers("signal: 60/0\n").ok());
  EXPECT_FALSE(parse_timers("ID: x\n").ok());
  EXPECT_FALSE(parse_timers("ID: 1\nsignal: 60\n").ok());
  EXPECT_FALSE(parse_timers("ID: 1\nnotify: carrier pigeon/pid.1\n").ok());
}

TEST(Timers, AChildsTimersAreRead) {
  TestChild child([] {
    abi::SigEvent event = {};
    event.value = 0xdeadbeefcafe;
    event.signal = SIGRTMIN + 2;
    event.notify = SIGEV_SIGNAL | SIGEV_THREAD_ID;
    event.tid = ::getpid();
    int id = -1;
    ::syscall(SYS_timer_create, CLOCK_BOOTTIME, &event, &id);
    event.notify = SIGEV_NONE;
    ::syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &event, &id);
  });
  const auto timers = read_timers(child.pid()).value();
  ASSERT_EQ(timers.size(), 2u);
  const Timer& first = timers[0].id == 0 ? timers[0] : timers[1];
  const Timer& second = timers[0].id == 0 ? timers[1] : timers[0];
  EXPECT_EQ(first.clock, CLOCK_BOOTTIME);
  EXPECT_EQ(first.notify, SIGEV_SIGNAL | SIGEV_THREAD_ID);
  EXPECT_EQ(first.signal, SIGRTMIN + 2);
  EXPECT_EQ(first.value, 0xdeadbeefcafeu);
  EXPECT_EQ(first.notify_pid, child.pid());
  EXPECT_EQ(second.id, 1);
  EXPECT_EQ(second.notify, SIGEV_NONE);
}

}  // namespace
}  // namespace perdure::kernel::proc
