// Handlers with their flags and masks, ignored signals, and the blocked mask of every thread.
#include <signal.h>

#include <atomic>
#include <thread>

#include "support/program.h"

static std::atomic<int> seen{0}, seen_value{0}, blocked_inside{0}, release_threads{0};

static void with_info(int signal, siginfo_t* info, void*) {
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  blocked_inside = sigismember(&mask, SIGHUP) && sigismember(&mask, SIGWINCH);
  seen_value = info->si_value.sival_int;
  seen = signal;
}
static void once(int signal) { seen = signal; }

static void check_mask(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  for (int i = 1; i < 65; ++i) {
    if (i == 32 || i == 33) continue;
    if (sigismember(&mask, i) != (i == signal))
      FAIL("signal %d blocked: %d", i, sigismember(&mask, i));
  }
}

int main() {
  struct sigaction action = {};
  action.sa_sigaction = with_info;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaddset(&action.sa_mask, SIGHUP);
  sigaddset(&action.sa_mask, SIGWINCH);
  SYS(sigaction(SIGUSR1, &action, nullptr));
  SYS(sigaction(SIGRTMIN + 7, &action, nullptr));
  struct sigaction one = {};
  one.sa_handler = once;
  one.sa_flags = SA_RESETHAND | SA_NODEFER;
  SYS(sigaction(SIGUSR2, &one, nullptr));
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTSTP, SIG_IGN);

  std::atomic<int> ready{0};
  std::thread threads[4];
  for (int i = 0; i < 4; ++i)
    threads[i] = std::thread([&, i] {
      sigset_t mask;
      sigemptyset(&mask);
      sigaddset(&mask, SIGRTMIN + i);
      pthread_sigmask(SIG_SETMASK, &mask, nullptr);
      ++ready;
      while (!release_threads) pause_ms(1);
      check_mask(SIGRTMIN + i);
    });
  while (ready < 4) pause_ms(1);
  checkpoint_here();

  check_mask(0);
  release_threads = 1;
  for (auto& thread : threads) thread.join();
  struct sigaction found;
  SYS(sigaction(SIGUSR1, nullptr, &found));
  CHECK(found.sa_sigaction == with_info);
  CHECK_EQ(found.sa_flags & (SA_SIGINFO | SA_RESTART), SA_SIGINFO | SA_RESTART);
  CHECK(sigismember(&found.sa_mask, SIGHUP) && !sigismember(&found.sa_mask, SIGINT));
  SYS(sigaction(SIGPIPE, nullptr, &found));
  CHECK(found.sa_handler == SIG_IGN);
  SYS(sigaction(SIGTERM, nullptr, &found));
  CHECK(found.sa_handler == SIG_DFL);

  SYS(sigqueue(getpid(), SIGUSR1, sigval{.sival_int = 4711}));
  CHECK_EQ(seen, SIGUSR1);
  CHECK_EQ(seen_value, 4711);
  CHECK(blocked_inside);
  SYS(sigqueue(getpid(), SIGRTMIN + 7, sigval{.sival_int = 4712}));
  CHECK_EQ(seen_value, 4712);
  raise(SIGPIPE);
  raise(SIGTSTP);
  raise(SIGUSR2);
  CHECK_EQ(seen, SIGUSR2);
  SYS(sigaction(SIGUSR2, nullptr, &found));
  CHECK(found.sa_handler == SIG_DFL);
  done();
}
