#include "kernel/proc/fdinfo.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"

namespace perdure::kernel::proc {
namespace {

TEST(Fdinfo, PositionFlagsAndLocks) {
  const Fdinfo info = parse_fdinfo(
                          "pos:\t4096\nflags:\t02100002\nmnt_id:\t27\nino:\t10952849\n"
                          "lock:\t1: FLOCK  ADVISORY  WRITE 8387 fe:00:10952849 0 EOF\n"
                          "lock:\t2: POSIX  ADVISORY  READ 8387 fe:00:10952849 10 19\n"
                          "lock:\t3: OFDLCK ADVISORY  WRITE -1 fe:00:10952849 5 5\n"
                          "lock:\t4: LEASE  ACTIVE    READ 8387 fe:00:10952849 0 EOF\n")
                          .value();
  EXPECT_EQ(info.position, 4096u);
  EXPECT_EQ(info.flags, static_cast<uint32_t>(O_CLOEXEC | O_RDWR | 0100000));
  ASSERT_EQ(info.locks.size(), 4u);
  EXPECT_EQ(info.locks[0].kind, FdinfoLock::Kind::kFlock);
  EXPECT_TRUE(info.locks[0].write);
  EXPECT_EQ(info.locks[0].length, 0u);
  EXPECT_EQ(info.locks[1].kind, FdinfoLock::Kind::kPosix);
  EXPECT_FALSE(info.locks[1].write);
  EXPECT_EQ(info.locks[1].start, 10u);
  EXPECT_EQ(info.locks[1].length, 10u);
  EXPECT_EQ(info.locks[2].kind, FdinfoLock::Kind::kOfd);
  EXPECT_EQ(info.locks[2].length, 1u);
  EXPECT_EQ(info.locks[3].kind, FdinfoLock::Kind::kOther);
}

TEST(Fdinfo, TimersCountNanoseconds) {
  const Fdinfo info = parse_fdinfo(
                          "pos:\t0\nflags:\t02\nclockid: 1\nticks: 3\nsettime flags: 01\n"
                          "it_value: (2, 500000000)\nit_interval: (0, 7)\n")
                          .value();
  ASSERT_TRUE(info.timer.has_value());
  EXPECT_EQ(info.timer->clock, 1);
  EXPECT_EQ(info.timer->ticks, 3u);
  EXPECT_EQ(info.timer->settime_flags, 1u);
  EXPECT_EQ(info.timer->value_ns, 2'500'000'000u);
  EXPECT_EQ(info.timer->interval_ns, 7u);
}

TEST(Fdinfo, WatchesAreHexadecimal) {
  const Fdinfo info =
      parse_fdinfo("tfd:        3 events: 80000019 data: ffffffffffffffff  pos:0 ino:40e sdev:10\n")
          .value();
  ASSERT_EQ(info.watches.size(), 1u);
  EXPECT_EQ(info.watches[0].fd, 3);
  EXPECT_EQ(info.watches[0].events, 0x80000019u);
  EXPECT_EQ(info.watches[0].data, ~uint64_t{0});
  EXPECT_EQ(info.watches[0].inode, 0x40eu);
  EXPECT_EQ(info.watches[0].device, 0x10u);
}

TEST(Fdinfo, UnknownLinesAreIgnoredAndBrokenOnesRefused) {
  EXPECT_TRUE(parse_fdinfo("something-new: 1\nwithout a colon\n").ok());
  EXPECT_FALSE(parse_fdinfo("pos:\tx\n").ok());
  EXPECT_FALSE(parse_fdinfo("tfd: 3 events: 1\n").ok());
  EXPECT_FALSE(parse_fdinfo("lock:\t1: FLOCK\n").ok());
  EXPECT_FALSE(parse_fdinfo("clockid: 1\nit_value: (1\n").ok());
}

TEST(Fdinfo, TheKernelsOwnTextIsUnderstood) {
  const Fd event = Fd::adopt(::eventfd(255, EFD_SEMAPHORE));
  const Fdinfo info = read_own_fdinfo(event.get()).value();
  EXPECT_EQ(info.eventfd_count, 255u);
  EXPECT_TRUE(info.eventfd_semaphore);
  const Fd epoll = Fd::adopt(::epoll_create1(0));
  epoll_event watch = {};
  watch.events = EPOLLIN;
  watch.data.u64 = 0x123456789abcdef0;
  ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, event.get(), &watch), 0);
  const Fdinfo watching = read_fdinfo(::getpid(), epoll.get()).value();
  ASSERT_EQ(watching.watches.size(), 1u);
  EXPECT_EQ(watching.watches[0].data, 0x123456789abcdef0u);
}

}  // namespace
}  // namespace perdure::kernel::proc
