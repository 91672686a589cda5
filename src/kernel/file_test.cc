#include "kernel/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "kernel/event_files.h"
#include "kernel/proc/read.h"
#include "kernel/shared_memory.h"
#include "kernel/timerfd.h"

namespace perdure::kernel {
namespace {

Fd eventfd_of(uint64_t count) {
  return std::move(make_eventfd(count, EventCounting::kWhole)).value();
}

TEST(File, DescriptionsAreToldApartFromDescriptors) {
  const Fd one = eventfd_of(1);
  const Fd other = eventfd_of(1);
  const Fd again = std::move(duplicate_above(one.get(), 500)).value();
  EXPECT_GE(again.get(), 500);
  const pid_t self = ::getpid();
  EXPECT_EQ(compare_files(self, one.get(), self, again.get()).value(), 0);
  const int order = compare_files(self, one.get(), self, other.get()).value();
  EXPECT_NE(order, 0);
  EXPECT_EQ(compare_files(self, other.get(), self, one.get()).value(), -order);
  EXPECT_EQ(compare_tables(self, self).value(), 0);
}

TEST(File, SharedDescriptorTablesAreSeen) {
  for (const unsigned long flags : {static_cast<unsigned long>(CLONE_FILES), 0ul}) {
    const long child = ::syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
      while (true) ::pause();
    }
    const int order = compare_tables(::getpid(), static_cast<pid_t>(child)).value();
    EXPECT_EQ(order == 0, flags != 0);
    ::kill(static_cast<pid_t>(child), SIGKILL);
    ::waitpid(static_cast<pid_t>(child), nullptr, 0);
  }
}

TEST(File, TheTargetOfAnEpollWatchIsFoundAfterItsNumberMovedOn) {
  const Fd epoll = std::move(make_epoll()).value();
  Fd watched = eventfd_of(0);
  const int number = watched.get();
  const Fd kept = std::move(duplicate_above(number, 500)).value();
  ASSERT_TRUE(epoll_add(epoll.get(), number, {EPOLLIN, 0}).ok());
  watched.reset();
  const Fd other = eventfd_of(0);
  ASSERT_EQ(other.get(), number);
  const EpollSlot slot = {epoll.get(), number, 0};
  EXPECT_TRUE(is_epoll_target(::getpid(), kept.get(), ::getpid(), slot).value());
  EXPECT_FALSE(is_epoll_target(::getpid(), other.get(), ::getpid(), slot).value());
}

TEST(File, AFolderScopeComesBack) {
  char before[4096];
  ASSERT_NE(::getcwd(before, sizeof(before)), nullptr);
  {
    const auto scope = FolderScope::enter("/proc");
    ASSERT_TRUE(scope.ok());
    EXPECT_TRUE(stat_path("self").ok());
  }
  char after[4096];
  ASSERT_NE(::getcwd(after, sizeof(after)), nullptr);
  EXPECT_STREQ(before, after);
  EXPECT_FALSE(FolderScope::enter("/nowhere").ok());
}

TEST(File, OwnersAreRead) {
  const Fd file = eventfd_of(0);
  EXPECT_EQ(file_owner(file.get()).value().id, 0);
  ASSERT_EQ(::fcntl(file.get(), F_SETOWN, ::getpid()), 0);
  ASSERT_EQ(::fcntl(file.get(), F_SETSIG, 40), 0);
  const FileOwner owner = file_owner(file.get()).value();
  EXPECT_EQ(owner.type, F_OWNER_PID);
  EXPECT_EQ(owner.id, ::getpid());
  EXPECT_EQ(owner.signal, 40);
}

TEST(EventFiles, CountsBeyond32BitsAreSet) {
  const Fd file = eventfd_of(0xfffffffffffffffe);
  uint64_t count = 0;
  ASSERT_EQ(::read(file.get(), &count, sizeof(count)), 8);
  EXPECT_EQ(count, 0xfffffffffffffffe);
}

TEST(Timerfd, UnreadExpirationsAreSet) {
  const Fd timer = std::move(timerfd_create(CLOCK_MONOTONIC)).value();
  ASSERT_TRUE(timerfd_settime(timer.get(), 0, {3'600'000'000'000, 5}).ok());
  ASSERT_TRUE(set_timerfd_ticks(timer.get(), 17).ok());
  uint64_t ticks = 0;
  ASSERT_EQ(::read(timer.get(), &ticks, sizeof(ticks)), 8);
  EXPECT_EQ(ticks, 17u);
  EXPECT_EQ(timerfd_gettime(timer.get()).value().interval_ns, 5u);
}

TEST(SharedMemory, SharedAnonymousMemoryHasAFile) {
  const Fd file = std::move(make_shared_anonymous(8192)).value();
  const std::string text = "shared";
  ASSERT_TRUE(
      write_at(file.get(), 4096, Bytes(reinterpret_cast<const uint8_t*>(text.data()), 6)).ok());
  EXPECT_EQ(read_at(file.get(), 4096, 6).value(), text);
  EXPECT_EQ(stat_fd(file.get()).value().st_size, 8192);
}

TEST(SharedMemory, AnUnnamedFileHasNoLink) {
  const Fd file = std::move(make_unnamed_file("/tmp")).value();
  EXPECT_EQ(stat_fd(file.get()).value().st_nlink, 0u);
}

TEST(ReserveDescriptors, MakesRoomBeforeItIsNeeded) {
  constexpr uint64_t kWanted = 1500;
  reserve_descriptors(kWanted);
  const std::string status = proc::read_text("/proc/self/status").value();
  const size_t at = status.find("FDSize:");
  ASSERT_NE(at, std::string::npos);
  EXPECT_GE(std::stoul(status.substr(at + 7)), std::min(kWanted, descriptor_limit()));
}

}  // namespace
}  // namespace perdure::kernel
