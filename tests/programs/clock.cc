// CLOCK_MONOTONIC and CLOCK_BOOTTIME never run backwards and never jump, however long the program
// was away; the vdso and the system call agree.

// test: outage=1500

#include <atomic>
#include <thread>

#include "support/program.h"

static std::atomic<int> stop{0};

static void watch(clockid_t clock, int64_t* largest_gap_ns) {
  int64_t last = now_ns(clock);
  while (!stop) {
    int64_t now = now_ns(clock);
    if (now < last) FAIL("clock %d ran back by %ld ns", clock, last - now);
    if (now - last > *largest_gap_ns) *largest_gap_ns = now - last;
    last = now;
    pause_ms(1);
  }
}

static void check_agreement(clockid_t clock) {
  timespec by_call;
  int64_t before = now_ns(clock);
  SYS(syscall(SYS_clock_gettime, clock, &by_call));
  int64_t after = now_ns(clock), middle = by_call.tv_sec * 1'000'000'000LL + by_call.tv_nsec;
  if (middle < before || middle > after) FAIL("vdso and system call differ for clock %d", clock);
}

int main() {
  const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME};
  int64_t gaps[2] = {};
  std::thread watchers[2];
  for (int i = 0; i < 2; ++i) watchers[i] = std::thread(watch, clocks[i], &gaps[i]);
  int64_t real_before = now_ns(CLOCK_REALTIME);
  checkpoint_here();
  pause_ms(20);
  stop = 1;
  for (auto& watcher : watchers) watcher.join();
  for (int i = 0; i < 2; ++i)
    if (gaps[i] / 1'000'000 > slack_ms())
      FAIL("clock %d jumped by %ld ms", clocks[i], gaps[i] / 1'000'000);
  CHECK(now_ns(CLOCK_REALTIME) > real_before);
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME, CLOCK_MONOTONIC_RAW})
    check_agreement(clock);
  unsigned cpu = 999, node = 0;
  SYS(getcpu(&cpu, &node));
  CHECK(cpu < 999);
  done();
}
