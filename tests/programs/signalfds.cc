// signalfds: their mask, pending signals read through them, and changes of the mask.
#include <signal.h>
#include <sys/signalfd.h>

#include "support/program.h"

static void expect(int fd, int signal, int value) {
  signalfd_siginfo info;
  long got = read(fd, &info, sizeof info);
  if (got != sizeof info) FAIL("signal %d cannot be read: %s", signal, strerror(errno));
  CHECK_EQ(info.ssi_signo, signal);
  CHECK_EQ(info.ssi_int, value);
}

int main() {
  sigset_t user, realtime;
  sigemptyset(&user);
  sigaddset(&user, SIGUSR1);
  sigemptyset(&realtime);
  sigaddset(&realtime, SIGRTMIN + 5);
  sigaddset(&realtime, SIGRTMIN + 6);
  sigset_t both;
  sigorset(&both, &user, &realtime);
  sigprocmask(SIG_BLOCK, &both, nullptr);
  int user_fd = SYS(signalfd(-1, &user, SFD_NONBLOCK | SFD_CLOEXEC));
  int realtime_fd = SYS(signalfd(-1, &realtime, SFD_NONBLOCK));
  for (int i = 0; i < 3; ++i) SYS(sigqueue(getpid(), SIGRTMIN + 5, sigval{.sival_int = 10 + i}));
  checkpoint_here();

  signalfd_siginfo info;
  CHECK(read(user_fd, &info, sizeof info) == -1 && errno == EAGAIN);
  for (int i = 0; i < 3; ++i) expect(realtime_fd, SIGRTMIN + 5, 10 + i);
  SYS(sigqueue(getpid(), SIGUSR1, sigval{.sival_int = 77}));
  CHECK(read(realtime_fd, &info, sizeof info) == -1 && errno == EAGAIN);
  expect(user_fd, SIGUSR1, 77);
  SYS(signalfd(user_fd, &realtime, 0));
  SYS(sigqueue(getpid(), SIGRTMIN + 6, sigval{.sival_int = 78}));
  expect(user_fd, SIGRTMIN + 6, 78);
  CHECK_EQ(fcntl(user_fd, F_GETFD), FD_CLOEXEC);
  CHECK(fcntl(realtime_fd, F_GETFL) & O_NONBLOCK);
  done();
}
