// Three threads that rest in functions of known names, and known values in every kind of memory:
// what a debugger must find in a core file of this program (modes/verbs_dump.py), and in the
// program.
#include <pthread.h>
#include <sys/mman.h>

#include <atomic>

#include "support/program.h"

// Names that a debugger knows without debug information.
extern "C" {
volatile uint64_t known_stage = 0;                    // in a written page of the file
volatile uint64_t initialised[1024] = {0x1234'5678};  // written only before main()
extern const uint64_t constant[1024];                 // never written
const uint64_t constant[1024] = {0x8765'4321};
volatile uint64_t *heap_value, *private_value, *shared_value, *sparse_value, *excluded_value;
volatile uint64_t turns = 0;
volatile bool stop = false;
int ends[2];
std::atomic<pid_t> reader{0};

void* computing(void*);
void* reading(void*);
void resting();
}

static constexpr size_t kSparse = size_t{1} << 40;  // reserved, hardly used
static constexpr size_t kExcluded = 1 << 16;        // kept out of cores (MADV_DONTDUMP)

void* computing(void*) {
  while (!stop) turns = turns + 1;
  return nullptr;
}

void* reading(void*) {
  char byte = 0;
  reader = gettid();
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  return nullptr;
}

void __attribute__((noinline)) resting() {
  checkpoint_here();
  asm volatile("");  // no tail call, so that this function is on the stack
}

// Until the reader sleeps in its call, where a debugger is to find it.
static void await_reader() {
  char file[64], text[64] = {};
  do {
    pause_ms(1);
    snprintf(file, sizeof(file), "/proc/self/task/%d/wchan", reader.load());
    const int wchan = open(file, O_RDONLY);
    if (wchan < 0) continue;
    CHECK(read(wchan, text, sizeof(text) - 1) > 0);
    SYS(close(wchan));
  } while (strstr(text, "pipe_read") == nullptr);
}

static void check_values() {
  CHECK_EQ(*heap_value, known_stage + 100);
  CHECK_EQ(*private_value, known_stage + 200);
  CHECK_EQ(*shared_value, known_stage + 300);
  CHECK_EQ(*sparse_value, known_stage + 400);
  CHECK_EQ(initialised[0], 0x1234'5678);
  CHECK_EQ(constant[0], 0x8765'4321);
}

static void set_values(uint64_t value) {
  known_stage = value;
  *heap_value = value + 100;
  *private_value = value + 200;
  *shared_value = value + 300;
  *sparse_value = value + 400;
}

static uint64_t* map(size_t size, int flags) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return static_cast<uint64_t*>(memory);
}

static uint64_t excluded_at(size_t at) { return 0x5ec2'e700'0000'0000 + at; }

static void fill_excluded() {
  excluded_value = map(kExcluded, MAP_PRIVATE);
  SYS(madvise(const_cast<uint64_t*>(excluded_value), kExcluded, MADV_DONTDUMP));
  for (size_t at = 0; at < kExcluded / sizeof(uint64_t); ++at) excluded_value[at] = excluded_at(at);
}

static void check_excluded() {
  for (size_t at = 0; at < kExcluded / sizeof(uint64_t); ++at)
    CHECK_EQ(excluded_value[at], excluded_at(at));
}

int main() {
  heap_value = static_cast<uint64_t*>(malloc(64));
  private_value = map(1 << 20, MAP_PRIVATE);
  shared_value = map(1 << 20, MAP_SHARED);
  sparse_value = map(kSparse, MAP_PRIVATE | MAP_NORESERVE) + kSparse / 16;
  fill_excluded();
  SYS(pipe(ends));
  pthread_t threads[2];
  CHECK_EQ(pthread_create(&threads[0], nullptr, computing, nullptr), 0);
  CHECK_EQ(pthread_create(&threads[1], nullptr, reading, nullptr), 0);
  for (uint64_t value = 1; value <= 3; ++value) {
    set_values(value);
    const uint64_t before = turns;
    while (turns == before) pause_ms(1);
    await_reader();
    resting();
    CHECK_EQ(known_stage, value);
    check_values();
    check_excluded();
  }
  stop = true;
  CHECK_EQ(write(ends[1], "x", 1), 1);
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  done();
}
