// Signals that wait: for the process and for one thread, with value, sender and order.
#include <signal.h>

#include <atomic>
#include <thread>

#include "support/program.h"

static void expect(const sigset_t& set, int signal, int value, int code) {
  siginfo_t info = {};
  timespec none{};
  // The raw call: the library would turn SI_TKILL into SI_USER.
  int got = int(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 8));
  if (got != signal) FAIL("sigtimedwait gave %d, not %d (%s)", got, signal, strerror(errno));
  if (code == SI_QUEUE) CHECK_EQ(info.si_value.sival_int, value);
  CHECK_EQ(info.si_code, code);
  CHECK_EQ(info.si_pid, getpid());
  CHECK_EQ(info.si_uid, getuid());
}

int main() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGRTMIN + 1, SIGRTMIN + 2})
    sigaddset(&set, signal);
  SYS(sigprocmask(SIG_BLOCK, &set, nullptr));

  std::atomic<int> thread_ready{0}, thread_go{0};
  std::thread thread([&] {
    siginfo_t info = {};
    for (int i = 0; i < 3; ++i) {
      info.si_code = SI_QUEUE;
      info.si_pid = getpid();
      info.si_uid = getuid();
      info.si_value.sival_int = 900 + i;
      SYS(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGRTMIN + 2, &info));
    }
    SYS(tgkill(getpid(), gettid(), SIGUSR2));
    thread_ready = 1;
    while (!thread_go) pause_ms(1);
    expect(set, SIGUSR2, 0, SI_TKILL);
    for (int i = 0; i < 3; ++i) expect(set, SIGRTMIN + 2, 900 + i, SI_QUEUE);
    thread_go = 2;
    while (thread_go != 3) pause_ms(1);
  });
  while (!thread_ready) pause_ms(1);

  for (int i = 0; i < 5; ++i) SYS(sigqueue(getpid(), SIGRTMIN + 1, sigval{.sival_int = 100 + i}));
  SYS(sigqueue(getpid(), SIGUSR1, sigval{.sival_int = 55}));
  SYS(kill(getpid(), SIGTERM));
  checkpoint_here();

  thread_go = 1;
  while (thread_go != 2) pause_ms(1);
  expect(set, SIGUSR1, 55, SI_QUEUE);
  expect(set, SIGTERM, 0, SI_USER);
  for (int i = 0; i < 5; ++i) expect(set, SIGRTMIN + 1, 100 + i, SI_QUEUE);
  timespec none{};
  CHECK(sigtimedwait(&set, nullptr, &none) == -1 && errno == EAGAIN);
  thread_go = 3;
  thread.join();
  done();
}
