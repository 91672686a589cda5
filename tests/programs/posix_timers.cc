// POSIX timers: their ids, notification by signal, to one thread, or not at all; value, period and
// overrun.
#include <signal.h>

#include <atomic>
#include <thread>

#include "support/program.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static int create(clockid_t clock, int notify, int signal, int value, int tid) {
  sigevent event = {};
  event.sigev_notify = notify;
  event.sigev_signo = signal;
  event.sigev_value.sival_int = value;
  event.sigev_notify_thread_id = tid;
  int id = -1;
  SYS(syscall(SYS_timer_create, clock, &event, &id));
  return id;
}
static void arm(int id, int64_t value_ms, int64_t interval_ms) {
  itimerspec spec = {{interval_ms / 1000, interval_ms % 1000 * 1000000},
                     {value_ms / 1000, value_ms % 1000 * 1000000}};
  SYS(syscall(SYS_timer_settime, id, 0, &spec, nullptr));
}
static itimerspec get(int id) {
  itimerspec spec;
  SYS(syscall(SYS_timer_gettime, id, &spec));
  return spec;
}

int main() {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 1; i <= 3; ++i) sigaddset(&set, SIGRTMIN + i);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  int gap = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
  int one_shot = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 1, 41, 0);
  SYS(syscall(SYS_timer_delete, gap));  // ids need not be dense
  int periodic = create(CLOCK_BOOTTIME, SIGEV_SIGNAL, SIGRTMIN + 2, 42, 0);
  int silent = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
  int disarmed = create(CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN + 1, 43, 0);
  std::atomic<int> tid{0}, go{0};
  std::thread thread([&] {
    tid = gettid();
    while (!go) pause_ms(1);
    siginfo_t info;
    sigset_t mine;
    sigemptyset(&mine);
    sigaddset(&mine, SIGRTMIN + 3);
    CHECK_EQ(SYS(sigwaitinfo(&mine, &info)), SIGRTMIN + 3);
    CHECK_EQ(info.si_value.sival_int, 44);
  });
  while (!tid) pause_ms(1);
  int to_thread = create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 3, 44, tid);
  int64_t begin = now_ms();
  arm(one_shot, 2000, 0);
  arm(periodic, 50, 50);
  arm(silent, 1'000'000, 2'500);
  arm(to_thread, 2000, 0);
  pause_ms(300);  // the periodic one has overruns now
  checkpoint_here();

  siginfo_t info = {};
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, SIGRTMIN + 2);
  CHECK_EQ(SYS(sigwaitinfo(&only, &info)), SIGRTMIN + 2);
  CHECK_EQ(info.si_value.sival_int, 42);
  CHECK_EQ(info.si_code, SI_TIMER);
  CHECK_EQ(info.si_timerid, periodic);
  long overrun = SYS(syscall(SYS_timer_getoverrun, periodic));
  // The kernel tells nobody the overruns of a signal that is still pending (docs/kernel.md).
  const bool same_process = test::mode_is("native") || test::mode_is("save_and_continue");
  if (same_process && overrun < 3) FAIL("overrun is %ld: expirations were lost", overrun);
  itimerspec found = get(silent);
  CHECK(found.it_interval.tv_sec == 2 && found.it_interval.tv_nsec == 500'000'000);
  CHECK(found.it_value.tv_sec > 1000 - 3 - slack_ms() / 1000 && found.it_value.tv_sec < 1000);
  CHECK(get(disarmed).it_value.tv_sec == 0 && get(disarmed).it_value.tv_nsec == 0);
  CHECK_EQ(SYS(sigwaitinfo(&only, &info)), SIGRTMIN + 2);  // goes on ticking
  arm(periodic, 0, 0);
  sigemptyset(&only);
  sigaddset(&only, SIGRTMIN + 1);
  CHECK_EQ(SYS(sigwaitinfo(&only, &info)), SIGRTMIN + 1);
  CHECK_EQ(info.si_value.sival_int, 41);
  int64_t took = now_ms() - begin;
  if (took < 1999 || took > 2000 + slack_ms())
    FAIL("the timer expired after %ld ms, not 2000", took);
  go = 1;
  thread.join();
  CHECK(syscall(SYS_timer_delete, gap) == -1 && errno == EINVAL);
  for (int id : {one_shot, periodic, silent, disarmed, to_thread})
    SYS(syscall(SYS_timer_delete, id));
  done();
}
