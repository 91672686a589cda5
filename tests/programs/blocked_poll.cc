// poll, ppoll, select, pselect and epoll_wait with a time limit: right total time, no EINTR,
// arguments untouched.
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/program.h"

static constexpr int64_t kLimitMs = 2000, kBeforeMs = 900;
static std::atomic<int> started{0};
static int quiet[2];  // a pipe in which nothing ever arrives

template <typename Call>
static void timed(const char* name, Call call) {
  int64_t begin = now_ms();
  ++started;
  int result = call();
  int error = errno;
  int64_t took = now_ms() - begin;
  if (result != 0) FAIL("%s gave %d (%s) after %ld ms", name, result, strerror(error), took);
  if (took < kLimitMs || took > kLimitMs + slack_ms())
    FAIL("%s took %ld ms, not %ld", name, took, kLimitMs);
}

int main() {
  SYS(pipe(quiet));
  std::vector<std::thread> threads;
  int64_t begin = now_ms();
  threads.emplace_back([] {
    timed("poll", [] {
      pollfd p = {quiet[0], POLLIN, 0};
      return poll(&p, 1, kLimitMs);
    });
  });
  threads.emplace_back(
      [] { timed("poll without descriptors", [] { return poll(nullptr, 0, kLimitMs); }); });
  threads.emplace_back([] {
    timed("ppoll", [] {
      pollfd p = {quiet[0], POLLIN, 0};
      timespec limit = {kLimitMs / 1000, 0};
      sigset_t mask;
      sigfillset(&mask);
      return ppoll(&p, 1, &limit, &mask);
    });
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    CHECK(!sigismember(&mask, SIGUSR1));  // the temporary mask is gone
  });
  threads.emplace_back([] {
    timed("select", [] {
      fd_set set;
      FD_ZERO(&set);
      FD_SET(quiet[0], &set);
      timeval limit = {kLimitMs / 1000, 0};
      return select(quiet[0] + 1, &set, nullptr, nullptr, &limit);
    });
  });
  threads.emplace_back([] {
    timed("pselect", [] {
      fd_set set;
      FD_ZERO(&set);
      FD_SET(quiet[0], &set);
      timespec limit = {kLimitMs / 1000, 0};
      sigset_t mask;
      sigfillset(&mask);
      return pselect(quiet[0] + 1, &set, nullptr, nullptr, &limit, &mask);
    });
  });
  int epoll = SYS(epoll_create1(0));
  epoll_event watch = {EPOLLIN, {.u64 = 5}};
  SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, quiet[0], &watch));
  threads.emplace_back([epoll] {
    timed("epoll_wait", [epoll] {
      epoll_event event;
      return epoll_wait(epoll, &event, 1, kLimitMs);
    });
  });
  threads.emplace_back([epoll] {
    timed("epoll_pwait", [epoll] {
      epoll_event event;
      sigset_t mask;
      sigfillset(&mask);
      return epoll_pwait(epoll, &event, 1, kLimitMs, &mask);
    });
  });
  while (started < int(threads.size())) pause_ms(1);
  pause_ms(int(kBeforeMs - (now_ms() - begin)));
  checkpoint_here();
  for (auto& thread : threads) thread.join();
  done();
}
