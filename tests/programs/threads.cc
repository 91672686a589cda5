// 64 threads that compute self-checking sequences and hand work around through a mutex and a
// condition.
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "support/program.h"

static constexpr int kThreads = 64;
static std::mutex mutex;
static std::condition_variable condition;
static uint64_t turns = 0, in_section = 0;
static bool stop = false;

int main() {
  std::vector<std::thread> threads;
  std::vector<uint64_t> counts(kThreads), chains(kThreads);
  std::vector<pid_t> tids(kThreads);
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&, i] {
      uint64_t state = i, steps = 0;
      tids[i] = gettid();
      std::unique_lock lock(mutex);
      while (!stop) {
        CHECK_EQ(++in_section, 1);  // nobody else holds the mutex
        ++turns;
        --in_section;
        lock.unlock();
        for (int k = 0; k < 50; ++k, ++steps) state = test::mix(state + steps);
        lock.lock();
        condition.wait_for(lock, std::chrono::milliseconds(1 + i % 7));
        condition.notify_one();
      }
      counts[i] = steps;
      chains[i] = state;
      CHECK_EQ(gettid(), tids[i]);
      CHECK_EQ(syscall(SYS_gettid), tids[i]);
    });
  for (int round = 0; round < 3; ++round) {
    uint64_t seen;
    {
      std::lock_guard lock(mutex);
      seen = turns;
    }
    while (true) {  // all of them go on
      pause_ms(1);
      std::lock_guard lock(mutex);
      if (turns > seen + kThreads) break;
    }
    checkpoint_here();
  }
  {
    std::lock_guard lock(mutex);
    stop = true;
  }
  condition.notify_all();
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < kThreads; ++i) {
    uint64_t state = i;
    for (uint64_t step = 0; step < counts[i]; ++step) state = test::mix(state + step);
    if (state != chains[i]) FAIL("thread %d computed a wrong sequence of %lu steps", i, counts[i]);
  }
  done();
}
