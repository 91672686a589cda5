// A program whose memory changes in a known way, for the macro-benchmark.
//   touch set MIB KIB        holds MIB of memory and writes to the same KIB of it, spread evenly,
//   every 5 ms touch work SECONDS PAGES computes for as long as SECONDS took when it was
//   calibrated, and writes to PAGES pages in each
//                            millisecond's worth of it; prints the seconds that it took
#include <errno.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

static constexpr size_t kPage = 4096;

static double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return double(t.tv_sec) + double(t.tv_nsec) / 1e9;
}

static uint8_t* fill(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) _exit(1);
  madvise(memory, bytes, MADV_NOHUGEPAGE);
  auto* words = static_cast<uint64_t*>(memory);
  for (size_t i = 0; i < bytes / 8; i += kPage / 8) words[i] = i * 0x9e3779b97f4a7c15 + 1;
  return static_cast<uint8_t*>(memory);
}

static int touch_set(size_t mebibytes, size_t kibibytes) {
  const size_t pages = mebibytes << 8, touched = kibibytes / 4, stride = pages / touched;
  uint8_t* memory = fill(pages * kPage);
  puts("ready");
  fflush(stdout);
  for (uint64_t round = 1;; ++round) {
    for (size_t i = 0; i < touched; ++i) memcpy(memory + i * stride * kPage, &round, sizeof round);
    timespec pause{0, 5'000'000};
    nanosleep(&pause, nullptr);
  }
}

static uint64_t compute(uint64_t value, uint64_t steps) {
  for (uint64_t i = 0; i < steps; ++i) value = (value ^ (value >> 29)) * 0xbf58476d1ce4e5b9 + i;
  return value;
}

// Steps of compute() in a millisecond: the most of several tries, as others only slow it down.
static uint64_t calibrate() {
  constexpr uint64_t kSteps = 2'000'000;
  double best = 1e9;
  uint64_t value = 1;
  for (int i = 0; i < 20; ++i) {
    const double begin = now();
    value = compute(value, kSteps);
    const double took = now() - begin;
    if (took < best) best = took;
  }
  if (value == 0) puts("");  // so that it is computed
  return uint64_t(kSteps / (best * 1000));
}

static int work(double seconds, size_t pages) {
  constexpr size_t kPages = 16384;  // 64 MiB, gone through again and again
  uint8_t* memory = fill(kPages * kPage);
  const uint64_t steps = calibrate();
  size_t at = 0;
  uint64_t value = 1;
  const double begin = now();
  for (int i = 0; i < int(seconds * 1000); ++i) {
    value = compute(value, steps);
    for (size_t page = 0; page < pages; ++page, at = (at + 1) % kPages)
      memcpy(memory + at * kPage, &value, sizeof value);
  }
  printf("%.6f\n", now() - begin);
  return value == 0;
}

int main(int count, char** words) {
  if (count == 4 && strcmp(words[1], "set") == 0)
    return touch_set(size_t(atoll(words[2])), size_t(atoll(words[3])));
  if (count == 4 && strcmp(words[1], "work") == 0)
    return work(atof(words[2]), size_t(atoll(words[3])));
  fprintf(stderr, "usage: touch set MIB KIB | touch work SECONDS PAGES_PER_MS\n");
  return 2;
}
