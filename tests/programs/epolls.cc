// epoll: level, edge and one-shot watches with their data, nested sets, a set shared after fork,
// and a watched description whose first descriptor number means something else by now.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "support/program.h"

static void watch(int epoll, int fd, uint32_t events, uint64_t data) {
  epoll_event event = {events, {.u64 = data}};
  SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}
static void signal_fd(int fd) {
  uint64_t one = 1;
  CHECK_EQ(SYS(write(fd, &one, 8)), 8);
}
static void expect(int epoll, uint64_t data, uint32_t events) {
  epoll_event found[8] = {};
  int count = SYS(epoll_wait(epoll, found, 8, 1000));
  if (count != 1) FAIL("%d events, not one for 0x%lx", count, data);
  CHECK_EQ(found[0].data.u64, data);
  CHECK_EQ(found[0].events, events);
}
static void expect_none(int epoll) {
  epoll_event found = {};
  int count = SYS(epoll_wait(epoll, &found, 1, 10));
  if (count != 0) FAIL("unexpected event 0x%x for 0x%lx", found.events, uint64_t(found.data.u64));
}

int main() {
  int set = SYS(epoll_create1(EPOLL_CLOEXEC)), outer = SYS(epoll_create1(0)),
      edge_set = SYS(epoll_create1(0));
  int level = SYS(eventfd(0, EFD_NONBLOCK)), edge = SYS(eventfd(0, EFD_NONBLOCK)),
      once = SYS(eventfd(0, EFD_NONBLOCK));
  int spent = SYS(eventfd(0, EFD_NONBLOCK));
  watch(set, level, EPOLLIN, 0xfeedfacecafebeefULL);
  watch(edge_set, edge, EPOLLIN | EPOLLET, 2);
  watch(set, once, EPOLLIN | EPOLLONESHOT, 3);
  watch(set, spent, EPOLLIN | EPOLLONESHOT, 4);
  watch(outer, set, EPOLLIN, 5);
  signal_fd(edge);
  expect(edge_set, 2, EPOLLIN);  // reported: an edge is not reported twice
  signal_fd(spent);
  expect(set, 4, EPOLLIN);  // disarmed now
  // Watched under a number that is closed; only a duplicate keeps the description open.
  int moved = SYS(eventfd(0, EFD_NONBLOCK)), moved_set = SYS(epoll_create1(0));
  watch(moved_set, moved, EPOLLIN, 6);
  int kept = SYS(dup(moved));
  close(moved);
  pid_t child = SYS(fork());
  if (child == 0) {
    await_mark("ask");
    expect(set, 0xfeedfacecafebeefULL, EPOLLIN);
    _exit(0);
  }
  checkpoint_here();

  expect_none(set);
  signal_fd(spent);
  expect_none(set);
  epoll_event again = {EPOLLIN | EPOLLONESHOT, {.u64 = 40}};
  SYS(epoll_ctl(set, EPOLL_CTL_MOD, spent, &again));
  expect(set, 40, EPOLLIN);
  expect_none(outer);
  signal_fd(level);
  expect(set, 0xfeedfacecafebeefULL, EPOLLIN);
  expect(set, 0xfeedfacecafebeefULL, EPOLLIN);
  expect(outer, 5, EPOLLIN);
  mark("ask");
  check_child(child);
  uint64_t value;
  CHECK_EQ(SYS(read(level, &value, 8)), 8);
  signal_fd(once);
  expect(set, 3, EPOLLIN);
  expect_none(set);
  signal_fd(edge);
  expect(edge_set, 2, EPOLLIN);
  expect_none(edge_set);
  signal_fd(kept);
  expect(moved_set, 6, EPOLLIN);
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, level, &again) == -1 && errno == EEXIST);
  done();
}
