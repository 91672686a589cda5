// Calls that wait for children and signals: wait4, waitid, sigtimedwait, sigwaitinfo, sigsuspend,
// pause.
#include <signal.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/program.h"

static constexpr int64_t kLimitMs = 2000, kBeforeMs = 900;
static std::atomic<int> started{0}, handled{0};
static void handler(int) { ++handled; }

static pid_t child_that_exits(int code) {
  pid_t pid = SYS(fork());
  if (pid == 0) {
    await_go();
    _exit(code);
  }
  return pid;
}

int main() {
  signal(SIGUSR1, handler);
  signal(SIGUSR2, handler);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 3);
  sigaddset(&set, SIGRTMIN + 4);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  pid_t first = child_that_exits(11), second = child_that_exits(22);
  std::vector<std::thread> threads;
  int64_t begin = now_ms();
  threads.emplace_back([&] {
    int status = 0;
    ++started;
    CHECK_EQ(SYS(wait4(first, &status, 0, nullptr)), first);
    CHECK_EQ(status, 11 << 8);
  });
  threads.emplace_back([&] {
    siginfo_t info = {};
    ++started;
    SYS(waitid(P_PID, second, &info, WEXITED));
    CHECK_EQ(info.si_status, 22);
    CHECK_EQ(info.si_pid, second);
  });
  threads.emplace_back([&] {
    sigset_t none;
    sigemptyset(&none);
    sigaddset(&none, SIGRTMIN + 4);
    timespec limit = {kLimitMs / 1000, 0};
    int64_t from = now_ms();
    ++started;
    int result = sigtimedwait(&none, nullptr, &limit);
    if (result != -1 || errno != EAGAIN) FAIL("sigtimedwait gave %d (%s)", result, strerror(errno));
    int64_t took = now_ms() - from;
    if (took < kLimitMs || took > kLimitMs + slack_ms()) FAIL("sigtimedwait took %ld ms", took);
  });
  threads.emplace_back([&] {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN + 3);
    siginfo_t info = {};
    ++started;
    CHECK_EQ(SYS(sigwaitinfo(&one, &info)), SIGRTMIN + 3);
    CHECK_EQ(info.si_value.sival_int, 99);
  });
  std::atomic<int> suspended{0}, paused{0};
  threads.emplace_back([&] {
    sigset_t all_but;
    sigfillset(&all_but);
    sigdelset(&all_but, SIGUSR1);
    ++started;
    CHECK(sigsuspend(&all_but) == -1 && errno == EINTR);
    CHECK_EQ(handled, 1);
    suspended = 1;
  });
  threads.emplace_back([&] {
    ++started;
    CHECK(pause() == -1 && errno == EINTR);
    paused = 1;
  });
  while (started < int(threads.size())) pause_ms(1);
  pause_ms(int(kBeforeMs - (now_ms() - begin)));
  checkpoint_here();
  CHECK(!suspended && !paused);
  SYS(sigqueue(getpid(), SIGRTMIN + 3, sigval{.sival_int = 99}));
  pthread_kill(threads[4].native_handle(), SIGUSR1);
  while (!suspended) pause_ms(1);
  pthread_kill(threads[5].native_handle(), SIGUSR2);
  for (auto& thread : threads) thread.join();
  done();
}
