// Sleeps that a checkpoint interrupts last as long as they were asked to, and never report EINTR.
#include <atomic>
#include <thread>
#include <vector>

#include "support/program.h"

static constexpr int64_t kSleepMs = 2000, kBeforeMs = 900;
static std::atomic<int> started{0};

static timespec spec(int64_t ms) { return {ms / 1000, ms % 1000 * 1'000'000}; }

template <typename Call>
static void timed(const char* name, Call call) {
  int64_t begin = now_ms();
  ++started;
  int result = call();
  int64_t took = now_ms() - begin;
  if (result != 0) FAIL("%s gave %d (%s)", name, result, strerror(result > 0 ? result : errno));
  if (took < kSleepMs || took > kSleepMs + slack_ms())
    FAIL("%s took %ld ms, not %ld", name, took, kSleepMs);
}

int main() {
  std::vector<std::thread> threads;
  int64_t begin = now_ms();
  threads.emplace_back([] {
    timed("nanosleep without rem", [] {
      timespec t = spec(kSleepMs);
      return nanosleep(&t, nullptr);
    });
  });
  threads.emplace_back([] {
    timed("nanosleep with rem", [] {
      timespec t = spec(kSleepMs), left = {77, 77};
      return nanosleep(&t, &left);
    });
  });
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_BOOTTIME})
    threads.emplace_back([clock] {
      timed("clock_nanosleep relative", [clock] {
        timespec t = spec(kSleepMs);
        return clock_nanosleep(clock, 0, &t, nullptr);
      });
    });
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_BOOTTIME})
    threads.emplace_back([clock] {
      timed("clock_nanosleep absolute", [clock] {
        timespec t;
        clock_gettime(clock, &t);
        t.tv_sec += kSleepMs / 1000;
        return clock_nanosleep(clock, TIMER_ABSTIME, &t, nullptr);
      });
    });
  threads.emplace_back([] {
    // CLOCK_REALTIME goes on while the program is away: only a lower limit can be given, on that
    // clock.
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += kSleepMs / 1000;
    ++started;
    CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, nullptr), 0);
    CHECK(now_ns(CLOCK_REALTIME) >= t.tv_sec * 1'000'000'000LL + t.tv_nsec);
  });
  while (started < int(threads.size())) pause_ms(1);
  pause_ms(int(kBeforeMs - (now_ms() - begin)));
  checkpoint_here();
  for (auto& thread : threads) thread.join();
  done();
}
