#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "trip.h"

namespace perdure::trip {
namespace {

uint64_t read_number(int fd) {
  uint64_t value = 0;
  REQUIRE(::read(fd, &value, sizeof(value)) == sizeof(value));
  return value;
}

TEST(EventFd, CountAndKindComeBack) {
  Plan plan;
  plan.set_up = [] {
    place(::eventfd(0, EFD_NONBLOCK), 10);
    const uint64_t most = 0xfffffffffffffffe;
    REQUIRE(::write(10, &most, sizeof(most)) == sizeof(most));
    place(::eventfd(3, EFD_SEMAPHORE | EFD_CLOEXEC), 11);
    place(::eventfd(0, EFD_NONBLOCK), 12);
    REQUIRE(::dup2(12, 13) == 13);
  };
  plan.check = [](int) {
    REQUIRE(read_number(10) == 0xfffffffffffffffe);
    REQUIRE(read_text(10, 8) == "EAGAIN");
    REQUIRE(read_number(11) == 1);
    REQUIRE(read_number(11) == 1);
    REQUIRE((::fcntl(11, F_GETFL) & O_NONBLOCK) == 0);
    const uint64_t one = 1;
    REQUIRE(::write(12, &one, sizeof(one)) == sizeof(one));
    REQUIRE(read_number(13) == 1);
  };
  expect_round_trip(plan);
}

TEST(SignalFd, MaskComesBack) {
  Plan plan;
  plan.set_up = [] {
    sigset_t mask;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGUSR1);
    ::sigaddset(&mask, SIGRTMAX);
    place(::signalfd(-1, &mask, SFD_NONBLOCK), 10);
  };
  plan.check = [](int) {
    sigset_t mask;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGUSR1);
    ::sigaddset(&mask, SIGUSR2);
    ::sigaddset(&mask, SIGRTMAX);
    ::sigprocmask(SIG_BLOCK, &mask, nullptr);
    ::raise(SIGUSR2);
    ::raise(SIGRTMAX);
    signalfd_siginfo info;
    REQUIRE(::read(10, &info, sizeof(info)) == sizeof(info));
    REQUIRE(static_cast<int>(info.ssi_signo) == SIGRTMAX);
    REQUIRE(::read(10, &info, sizeof(info)) < 0 && errno == EAGAIN);
  };
  expect_round_trip(plan);
}

void arm(int fd, int flags, timespec value, timespec interval) {
  const itimerspec setting = {interval, value};
  REQUIRE(::timerfd_settime(fd, flags, &setting, nullptr) == 0);
}

TEST(TimerFd, EveryStateComesBack) {
  Plan plan;
  plan.set_up = [] {
    for (int fd = 10; fd <= 15; ++fd)
      place(::timerfd_create(fd == 14 ? CLOCK_REALTIME : CLOCK_MONOTONIC, TFD_NONBLOCK), fd);
    arm(10, 0, {1000, 0}, {0, 0});
    arm(11, 0, {0, 1}, {0, 0});          // expires at once
    arm(12, 0, {0, 1}, {0, 1'000'000});  // expires again and again
    timespec now;
    ::clock_gettime(CLOCK_REALTIME, &now);
    arm(14, TFD_TIMER_ABSTIME, {now.tv_sec + 5000, 0}, {7, 0});
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    arm(15, TFD_TIMER_ABSTIME, {now.tv_sec + 2000, now.tv_nsec}, {0, 0});
    struct pollfd ready = {12, POLLIN, 0};
    REQUIRE(::poll(&ready, 1, 1000) == 1);
    ready.fd = 11;
    REQUIRE(::poll(&ready, 1, 1000) == 1);
  };
  plan.check = [](int) {
    itimerspec left;
    REQUIRE(::timerfd_gettime(10, &left) == 0);
    REQUIRE(left.it_value.tv_sec > 990 && left.it_value.tv_sec < 1000);
    REQUIRE(read_number(11) == 1);
    REQUIRE(read_text(11, 8) == "EAGAIN");
    REQUIRE(read_number(12) >= 1);
    struct pollfd ready = {12, POLLIN, 0};
    REQUIRE(::poll(&ready, 1, 1000) == 1);
    REQUIRE(::timerfd_gettime(13, &left) == 0);
    REQUIRE(left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0);
    REQUIRE(::timerfd_gettime(14, &left) == 0);
    REQUIRE(left.it_value.tv_sec > 4990 && left.it_value.tv_sec <= 5000 &&
            left.it_interval.tv_sec == 7);
    REQUIRE(::timerfd_gettime(15, &left) == 0);
    REQUIRE(left.it_value.tv_sec > 1990 && left.it_value.tv_sec <= 2000);
  };
  expect_round_trip(plan);
}

// However soon it expires again: what tells its state takes longer than that.
TEST(TimerFd, OneThatExpiresAllTheTimeGoesOn) {
  Plan plan;
  plan.set_up = [] {
    place(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), 10);
    arm(10, 0, {0, 1}, {0, 1000});
    place(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), 11);
    arm(11, 0, {0, 0}, {0, 1000});  // never
    struct pollfd expired = {10, POLLIN, 0};
    REQUIRE(::poll(&expired, 1, 1000) == 1);
  };
  plan.check = [](int) {
    for (int i = 0; i < 2; ++i) {
      struct pollfd expired = {10, POLLIN, 0};
      REQUIRE(::poll(&expired, 1, 1000) == 1);
      REQUIRE(read_number(10) >= 1);
    }
    REQUIRE(read_text(11, 8) == "EAGAIN");
  };
  expect_round_trip(plan);
}

void watch(int epoll, int fd, uint32_t events, uint64_t data) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = data;
  REQUIRE(::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

std::vector<uint64_t> ready(int epoll) {
  epoll_event events[32];
  const int count = ::epoll_wait(epoll, events, 32, 0);
  REQUIRE(count >= 0);
  std::vector<uint64_t> data;
  for (int i = 0; i < count; ++i) data.push_back(events[i].data.u64);
  std::sort(data.begin(), data.end());
  return data;
}

TEST(Epoll, WatchesComeBackWithTheirData) {
  Plan plan;
  plan.processes = 2;
  plan.set_up = [] {
    place(::epoll_create1(0), 10);
    place(::eventfd(0, EFD_NONBLOCK), 11);
    place(::eventfd(1, EFD_NONBLOCK), 12);
    watch(10, 11, EPOLLIN, 0x1111111111111111);
    watch(10, 12, EPOLLIN | EPOLLET, 12);
    REQUIRE(ready(10) == std::vector<uint64_t>{12});  // the edge is consumed
    // One description under two numbers, and a set within a set.
    REQUIRE(::dup2(11, 13) == 13);
    watch(10, 13, EPOLLIN, 13);
    place(::epoll_create1(0), 14);
    watch(14, 10, EPOLLIN, 14);
    // A number that means something else by now.
    place(::eventfd(0, EFD_NONBLOCK), 15);
    REQUIRE(::dup2(15, 16) == 16);
    watch(10, 15, EPOLLIN, 15);
    place(::eventfd(0, EFD_NONBLOCK), 15);
    watch(10, 15, EPOLLIN, 99);
  };
  plan.check = [](int index) {
    const uint64_t one = 1;
    if (index == 0) ready(10);  // an edge may show again
    if (index == 0) REQUIRE(ready(10).empty());
    REQUIRE(::write(11, &one, 8) == 8);
    REQUIRE((ready(10) == std::vector<uint64_t>{13, 0x1111111111111111}));
    REQUIRE(ready(14) == std::vector<uint64_t>{14});
    read_number(11);
    REQUIRE(::write(16, &one, 8) == 8);
    REQUIRE(ready(10) == std::vector<uint64_t>{15});
    read_number(16);
    REQUIRE(::write(15, &one, 8) == 8);
    REQUIRE(ready(10) == std::vector<uint64_t>{99});
    read_number(15);
  };
  expect_round_trip(plan);
}

TEST(Epoll, ASpentOneShotWatchStaysSpent) {
  Plan plan;
  plan.set_up = [] {
    place(::epoll_create1(0), 10);
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    place(pair[0], 21);
    ::close(pair[1]);
    watch(10, 21, EPOLLIN | EPOLLONESHOT, 1);  // hung up: fires
    REQUIRE(ready(10).size() == 1);
    place(::eventfd(1, EFD_NONBLOCK), 22);
    watch(10, 22, EPOLLIN | EPOLLONESHOT, 2);
    REQUIRE(ready(10).size() == 1);
    place(::eventfd(0, EFD_NONBLOCK), 23);
    watch(10, 23, EPOLLIN | EPOLLONESHOT, 3);
  };
  plan.check = [](int) {
    REQUIRE(ready(10).empty());
    const uint64_t one = 1;
    REQUIRE(::write(23, &one, 8) == 8);
    REQUIRE(ready(10) == std::vector<uint64_t>{3});
    REQUIRE(ready(10).empty());
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLONESHOT;
    event.data.u64 = 22;
    REQUIRE(::epoll_ctl(10, EPOLL_CTL_MOD, 22, &event) == 0);
    REQUIRE(ready(10) == std::vector<uint64_t>{22});
  };
  expect_round_trip(plan);
}

TEST(Epoll, AThousandWatchesComeBack) {
  Plan plan;
  plan.set_up = [] {
    place(::epoll_create1(0), 10);
    for (int fd = 1000; fd < 2000; ++fd) {
      place(::eventfd(0, EFD_NONBLOCK), fd);
      watch(10, fd, EPOLLIN, static_cast<uint64_t>(fd));
    }
  };
  plan.check = [](int) {
    const uint64_t one = 1;
    for (int fd = 1000; fd < 2000; fd += 111) {
      REQUIRE(::write(fd, &one, 8) == 8);
      REQUIRE(ready(10) == std::vector<uint64_t>{static_cast<uint64_t>(fd)});
      read_number(fd);
    }
  };
  expect_round_trip(plan);
}

TEST(Anonymous, OtherKindsAreRefusedByName) {
  const std::string refused = refusal_of([] { place(::inotify_init1(0), 10); });
  EXPECT_NE(refused.find("(subject) fd 10: anon_inode:inotify cannot be saved"), std::string::npos)
      << refused;
}

}  // namespace
}  // namespace perdure::trip
