// Interval timers: real, virtual and profiling, with the time that was left and their period.
#include <signal.h>
#include <sys/time.h>

#include "support/program.h"

static volatile int alarms = 0, virtuals = 0, profiles = 0;
static volatile int64_t alarm_at = 0;
static void handler(int signal) {
  if (signal == SIGALRM && alarms == 0) alarm_at = now_ms();
  if (signal == SIGALRM) alarms = alarms + 1;
  if (signal == SIGVTALRM) virtuals = virtuals + 1;
  if (signal == SIGPROF) profiles = profiles + 1;
}

static itimerval timer(long value_ms, long interval_ms) {
  return {{interval_ms / 1000, interval_ms % 1000 * 1000},
          {value_ms / 1000, value_ms % 1000 * 1000}};
}
static long left_ms(int which, long interval_ms) {
  itimerval found;
  SYS(getitimer(which, &found));
  long interval_us = found.it_interval.tv_sec * 1000000 + found.it_interval.tv_usec;
  // The kernel may round CPU time intervals up to its tick.
  if (interval_us < interval_ms * 1000 || interval_us > interval_ms * 1000 + 10000)
    FAIL("interval of timer %d is %ld us, not %ld ms", which, interval_us, interval_ms);
  return found.it_value.tv_sec * 1000 + found.it_value.tv_usec / 1000;
}

int main() {
  for (int signal : {SIGALRM, SIGVTALRM, SIGPROF}) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    SYS(sigaction(signal, &action, nullptr));
  }
  itimerval real = timer(2000, 300), virtual_time = timer(5000, 80), profile = timer(6000, 90);
  int64_t begin = now_ms();
  SYS(setitimer(ITIMER_REAL, &real, nullptr));
  SYS(setitimer(ITIMER_VIRTUAL, &virtual_time, nullptr));
  SYS(setitimer(ITIMER_PROF, &profile, nullptr));
  pause_ms(900);
  checkpoint_here();

  CHECK_EQ(alarms, 0);
  long left = left_ms(ITIMER_REAL, 300);
  if (left < 50 - slack_ms() || left > 1101) FAIL("real timer has %ld ms left", left);
  left = left_ms(ITIMER_VIRTUAL, 80);
  if (left < 4000 || left > 5020) FAIL("virtual timer has %ld ms left", left);
  left = left_ms(ITIMER_PROF, 90);
  if (left < 5000 || left > 6020) FAIL("profiling timer has %ld ms left", left);
  while (alarms < 2) pause_ms(5);
  int64_t took = alarm_at - begin;
  if (took < 1999 || took > 2000 + slack_ms())
    FAIL("the first alarm came after %ld ms, not 2000", took);
  // Still alive, not only readable: let them expire soon.
  virtual_time = timer(10, 0);
  SYS(setitimer(ITIMER_VIRTUAL, &virtual_time, nullptr));
  profile = timer(10, 0);
  SYS(setitimer(ITIMER_PROF, &profile, nullptr));
  while (!virtuals || !profiles) test::mix(now_ns());
  done();
}
