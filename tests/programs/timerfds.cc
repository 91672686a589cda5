// timerfds: relative, absolute, periodic, expired but unread, disarmed.
#include <poll.h>
#include <sys/timerfd.h>

#include "support/program.h"

static itimerspec spec(int64_t value_ms, int64_t interval_ms) {
  return {{interval_ms / 1000, interval_ms % 1000 * 1000000},
          {value_ms / 1000, value_ms % 1000 * 1000000}};
}
static int timer(clockid_t clock, int flags, itimerspec when) {
  int fd = SYS(timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC));
  SYS(timerfd_settime(fd, flags, &when, nullptr));
  return fd;
}
static uint64_t expirations(int fd) {
  uint64_t count = 0;
  long got = read(fd, &count, 8);
  if (got != 8 && errno != EAGAIN) FAIL("read of a timerfd: %s", strerror(errno));
  return got == 8 ? count : 0;
}
static void wait_until(const char* name, int fd, int64_t due_ms) {
  pollfd p = {fd, POLLIN, 0};
  int ready = SYS(poll(&p, 1, int(due_ms - now_ms() + slack_ms() + 500)));
  int64_t late = now_ms() - due_ms;
  if (ready != 1) FAIL("%s never expired", name);
  if (late < -1 || late > slack_ms()) FAIL("%s expired %ld ms late", name, late);
  CHECK_EQ(expirations(fd), 1);
}

int main() {
  int64_t begin = now_ms();
  int relative = timer(CLOCK_MONOTONIC, 0, spec(1600, 0));
  int absolute = timer(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, spec(begin + 1800, 0));
  int boot = timer(CLOCK_BOOTTIME, 0, spec(2000, 0));
  int unread = timer(CLOCK_MONOTONIC, 0, spec(10, 10));
  int expired = timer(CLOCK_MONOTONIC, 0, spec(20, 0));
  int periodic = timer(CLOCK_MONOTONIC, 0, spec(1000'000, 3500));
  int disarmed = timer(CLOCK_REALTIME, 0, spec(0, 0));
  pause_ms(500);
  checkpoint_here();

  uint64_t ticks = expirations(unread);
  int64_t most = (now_ms() - begin) / 10 + 1;
  if (ticks < 49 || int64_t(ticks) > most)
    FAIL("the periodic timer has %lu unread ticks, not 49 to %ld", ticks, most);
  CHECK_EQ(expirations(expired), 1);
  CHECK_EQ(expirations(expired), 0);
  CHECK_EQ(expirations(disarmed), 0);
  itimerspec found;
  SYS(timerfd_gettime(periodic, &found));
  CHECK(found.it_interval.tv_sec == 3 && found.it_interval.tv_nsec == 500'000'000);
  int64_t left = found.it_value.tv_sec * 1000 + found.it_value.tv_nsec / 1000000;
  if (left > 999'501 || left < 999'000 - 500 - slack_ms()) FAIL("%ld ms left of 1000000", left);
  SYS(timerfd_gettime(disarmed, &found));
  CHECK(found.it_value.tv_sec == 0 && found.it_value.tv_nsec == 0);
  CHECK(expirations(relative) == 0 || test::mode_is("attach"));
  if (test::mode_is("attach")) done();  // clocks do not continue there
  wait_until("relative timer", relative, begin + 1600);
  wait_until("absolute timer", absolute, begin + 1800);
  wait_until("boot time timer", boot, begin + 2000);
  CHECK_EQ(fcntl(relative, F_GETFD), FD_CLOEXEC);
  done();
}
