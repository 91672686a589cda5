// Threads that begin and end all the time while saves are taken, joined and detached, some in a
// child process: each finds its thread-local memory fresh, does its work once, and is counted once.
#include <pthread.h>
#include <sys/mman.h>

#include <atomic>

#include "support/program.h"

static constexpr int kAtOnce = 8;

struct Shared {
  std::atomic<uint64_t> detached;  // threads that have ended
  std::atomic<uint64_t> child_rounds;
  std::atomic<bool> stop;
};
static Shared* shared;
static thread_local uint64_t visits = 0;
static thread_local uint8_t own[20000] = {1, 2, 3};

struct Job {
  uint64_t seed, result;
};

static void* work(void* argument) {
  auto* job = static_cast<Job*>(argument);
  CHECK_EQ(++visits, 1);
  CHECK_EQ(own[0] + own[1] + own[2] + own[3], 6);
  fill(own, sizeof own, job->seed);
  job->result = test::mix(job->seed);
  for (int i = 0; i < 200; ++i) job->result = test::mix(job->result + own[i]);
  check_filled(own, sizeof own, job->seed, "thread-local memory");
  CHECK_EQ(visits, 1);
  return job;
}
static void* work_unwatched(void* argument) {
  work(argument);
  delete static_cast<Job*>(argument);
  shared->detached.fetch_add(1);
  return nullptr;
}

static uint64_t expected(uint64_t seed) {
  uint64_t result = test::mix(seed);
  for (int i = 0; i < 200; ++i)
    result = test::mix(result + uint8_t(test::mix(seed * 1'000'003 + uint64_t(i))));
  return result;
}

static void storm(uint64_t turn) {
  pthread_t joined[kAtOnce];
  Job jobs[kAtOnce];
  const uint64_t detached_before = shared->detached.load();
  for (int i = 0; i < kAtOnce; ++i) {
    jobs[i] = {turn * kAtOnce + uint64_t(i), 0};
    CHECK_EQ(pthread_create(&joined[i], nullptr, work, &jobs[i]), 0);
    if (i % 4 != 0) continue;
    pthread_t unwatched;
    CHECK_EQ(pthread_create(&unwatched, nullptr, work_unwatched, new Job{turn, 0}), 0);
    CHECK_EQ(pthread_detach(unwatched), 0);
  }
  for (int i = 0; i < kAtOnce; ++i) {
    void* returned = nullptr;
    CHECK_EQ(pthread_join(joined[i], &returned), 0);
    CHECK(returned == &jobs[i]);
    CHECK_EQ(jobs[i].result, expected(jobs[i].seed));
  }
  const int64_t begin = now_ms();
  while (shared->detached.load() < detached_before + kAtOnce / 4) {
    pause_ms(1);
    if (now_ms() - begin > 20'000) FAIL("a detached thread never ended");
  }
}

int main() {
  void* address = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(address != MAP_FAILED);
  shared = new (address) Shared{};
  // Two processes would count the same threads: only the parent makes detached ones at a time.
  const pid_t child = SYS(fork());
  if (child == 0) {
    for (uint64_t turn = 0; !shared->stop.load(); ++turn) {
      pthread_t thread;
      Job job{turn, 0};
      CHECK_EQ(pthread_create(&thread, nullptr, work, &job), 0);
      CHECK_EQ(pthread_join(thread, nullptr), 0);
      CHECK_EQ(job.result, expected(turn));
      shared->child_rounds.fetch_add(1);
      pause_ms(1);
    }
    _exit(0);
  }
  uint64_t turn = 0;
  for (int round = 0; round < 3; ++round) {
    const uint64_t before = shared->child_rounds.load();
    checkpoint_here([&] { storm(++turn); });
    while (shared->child_rounds.load() < before + 5) pause_ms(1);
  }
  shared->stop.store(true);
  check_child(child);
  done();
}
