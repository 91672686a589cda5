// Waits on futexes, with a relative, an absolute and no time limit.
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/program.h"

static constexpr int64_t kLimitMs = 2000, kBeforeMs = 900;
static std::atomic<int> started{0};

template <typename Call>
static void timed(const char* name, Call call) {
  int64_t begin = now_ms();
  ++started;
  int error = call();
  int64_t took = now_ms() - begin;
  if (error != ETIMEDOUT) FAIL("%s gave %s", name, strerror(error));
  if (took < kLimitMs || took > kLimitMs + slack_ms())
    FAIL("%s took %ld ms, not %ld", name, took, kLimitMs);
}

static timespec in_limit(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  t.tv_sec += kLimitMs / 1000;
  return t;
}

int main() {
  std::vector<std::thread> threads;
  int64_t begin = now_ms();
  threads.emplace_back([] {
    timed("FUTEX_WAIT", [] {
      int word = 5;
      timespec limit = {kLimitMs / 1000, 0};
      return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 5, &limit, nullptr, 0) == 0 ? 0 : errno;
    });
  });
  threads.emplace_back([] {
    timed("FUTEX_WAIT_BITSET", [] {
      int word = 5;
      timespec limit = in_limit(CLOCK_MONOTONIC);
      return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 5, &limit, nullptr, ~0) == 0
                 ? 0
                 : errno;
    });
  });
  threads.emplace_back([] {
    timed("pthread_cond_clockwait", [] {
      pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
      pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
      pthread_mutex_lock(&mutex);
      timespec limit = in_limit(CLOCK_MONOTONIC);
      return pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &limit);
    });
  });
  threads.emplace_back([] {
    timed("sem_clockwait", [] {
      sem_t semaphore;
      sem_init(&semaphore, 0, 0);
      timespec limit = in_limit(CLOCK_MONOTONIC);
      return sem_clockwait(&semaphore, CLOCK_MONOTONIC, &limit) == 0 ? 0 : errno;
    });
  });
  // Without a limit: woken after the restore.
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  static sem_t semaphore;
  static bool open = false;
  sem_init(&semaphore, 0, 0);
  threads.emplace_back([] {
    pthread_mutex_lock(&mutex);
    ++started;
    while (!open) CHECK_EQ(pthread_cond_wait(&condition, &mutex), 0);
    pthread_mutex_unlock(&mutex);
  });
  threads.emplace_back([] {
    ++started;
    CHECK_EQ(sem_wait(&semaphore), 0);
  });
  while (started < int(threads.size())) pause_ms(1);
  pause_ms(int(kBeforeMs - (now_ms() - begin)));
  checkpoint_here();
  pthread_mutex_lock(&mutex);
  open = true;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  sem_post(&semaphore);
  for (auto& thread : threads) thread.join();
  done();
}
