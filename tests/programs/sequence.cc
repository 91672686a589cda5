// A sequence of steps that every part of the state carries, so that whatever mixes two moments of
// it is found out. Six actors (three threads in each of two processes) go through the steps side by
// side, never more than one apart. In step n an actor writes n to its places one after the other,
// and before each write all of them must hold exactly what the actor's own counter, a local
// variable, says: n where it has been, n - 1 where it has not. Places are pages of all kinds of
// memory, private and shared. Pipes, file positions, an eventfd and a memfd move with the steps.
// Each actor remembers how far it saw the others, who may never be behind that. So a page, a
// register, a pipe or a process that is older or newer than the rest shows within one step.

// test: trackers

#include <linux/futex.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <atomic>

#include "support/program.h"

static constexpr int kActors = 6, kThreads = 3;           // of all processes; of each process
static constexpr uint64_t kPipeDepth = 20;                // steps that an actor's own pipe holds
static constexpr uint64_t kFileWords = 1000;              // of the file that is read
static constexpr uint64_t kEventsMax = 32;                // after which the eventfd is read
static constexpr uint64_t kStepsAfter = 200;              // once the program may go on
static constexpr int64_t kSilenceNsMax = 20'000'000'000;  // without a step by anybody
static constexpr size_t kPage = 4096, kWords = kPage / 8;

struct Page {
  uint64_t words[kWords];
};
static constexpr int kPrivate = 12, kShared = 4, kMemfd = 4, kStack = 2, kHeap = 2, kData = 2,
                     kFile = 2;
static constexpr int kPlaces = kPrivate + kShared + kMemfd + kStack + kHeap + kData + kFile + 1;

// Shared by all: one page each, so that pages of different actors change at different times.
struct alignas(kPage) Board {
  std::atomic<uint64_t> step;  // finished by this actor
};
struct alignas(kPage) Bell {
  std::atomic<uint32_t> rung;
  std::atomic<uint64_t> last_step;  // after which all end
};

static Page* private_pages;  // [kActors][kPrivate], copied on write after the fork
static Page* shared_pages;   // [kActors][kShared]
static Page* memfd_pages;    // [kActors][kMemfd]
static Page* file_pages;     // [kActors][kFile], a private mapping of the file
static Page data_pages[kActors][kData] = {{{{1}}}};  // not zero: in the file of the program
static uint64_t file_words[kFileWords];  // what the file, this program's own, begins with
static Board* boards;
static Bell* bell;
static thread_local uint64_t thread_place;

struct Actor {
  int index;
  uint64_t step = 0;  // finished
  volatile uint64_t* places[kPlaces];
  uint64_t seen[kActors] = {};
  int own_pipe[2], link_in, link_out, file, memfd, event;
  int64_t last_ns = 0;
};
static Actor actors[kActors];

template <typename Type>
static Type* map(size_t count, int flags, int fd = -1) {
  size_t size = count * sizeof(Type);
  void* address = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  CHECK(address != MAP_FAILED);
  return static_cast<Type*>(address);
}

// All general registers that a loop can hold, and vector registers, count side by side.
static void count_in_registers(uint64_t start) {
  uint64_t sums[4];
  uint64_t wide[2][2] = {{start, start}, {start, start}};
  asm volatile(
      "mov %[start], %%r8\n mov %[start], %%r9\n mov %[start], %%r14\n mov %[start], %%r15\n"
      "movdqu %[wide0], %%xmm5\n movdqu %[wide1], %%xmm12\n"
      "pcmpeqd %%xmm3, %%xmm3\n psrlq $63, %%xmm3\n"  // 1, 1
      "mov $300, %%ecx\n"
      "1: inc %%r8\n inc %%r9\n inc %%r14\n inc %%r15\n paddq %%xmm3, %%xmm5\n paddq %%xmm3, "
      "%%xmm12\n"
      "dec %%ecx\n jnz 1b\n"
      "mov %%r8, %[sum0]\n mov %%r9, %[sum1]\n mov %%r14, %[sum2]\n mov %%r15, %[sum3]\n"
      "movdqu %%xmm5, %[wide0]\n movdqu %%xmm12, %[wide1]\n"
      : [sum0] "=m"(sums[0]), [sum1] "=m"(sums[1]), [sum2] "=m"(sums[2]), [sum3] "=m"(sums[3]),
        [wide0] "+m"(wide[0]), [wide1] "+m"(wide[1])
      : [start] "r"(start)
      : "rcx", "r8", "r9", "r14", "r15", "xmm3", "xmm5", "xmm12", "cc");
  for (uint64_t sum : sums) CHECK_EQ(sum, start + 300);
  for (auto& pair : wide)
    for (uint64_t value : pair) CHECK_EQ(value, start + 300);
}

static void check_places(const Actor& actor, int written, uint64_t step) {
  for (int i = 0; i < kPlaces; ++i) {
    uint64_t expected = i < written ? step : step - 1, actual = *actor.places[i];
    if (actual != expected)
      FAIL("actor %d, step %lu, %d written: place %d holds %lu, not %lu", actor.index, step,
           written, i, actual, expected);
  }
}

static void write_places(Actor& actor, uint64_t step) {
  for (int i = 0; i < kPlaces; ++i) {
    check_places(actor, i, step);
    *actor.places[i] = step;
    if (i % 8 == actor.index) count_in_registers(step << 20 | uint64_t(i));
  }
  check_places(actor, kPlaces, step);
}

static uint64_t read_word(int fd) {
  uint64_t word = 0;
  CHECK_EQ(SYS(read(fd, &word, 8)), 8);
  return word;
}
static void write_word(int fd, uint64_t word) { CHECK_EQ(SYS(write(fd, &word, 8)), 8); }

static void move_descriptors(Actor& actor, uint64_t step) {
  if (step > kPipeDepth) CHECK_EQ(read_word(actor.own_pipe[0]), step - kPipeDepth);
  write_word(actor.own_pipe[1], step);
  const uint64_t at = (step - 1) % kFileWords;
  CHECK_EQ(SYS(lseek(actor.file, 0, SEEK_CUR)), at * 8);
  CHECK_EQ(read_word(actor.file), file_words[at]);
  if (at == kFileWords - 1) SYS(lseek(actor.file, 0, SEEK_SET));
  uint64_t before = 0;
  CHECK_EQ(SYS(pread(actor.memfd, &before, 8, 0)), 8);
  CHECK_EQ(before, step - 1);
  CHECK_EQ(SYS(pwrite(actor.memfd, &step, 8, 0)), 8);
  write_word(actor.event, 1);
  if (step % kEventsMax == 0) CHECK_EQ(read_word(actor.event), kEventsMax);
}

// The ring of pipes holds all of them together: nobody ends step n before its neighbour has begun
// it.
static void meet_neighbours(Actor& actor, uint64_t step) {
  write_word(actor.link_out, step);
  CHECK_EQ(read_word(actor.link_in), step);
}

static void publish(Actor& actor, uint64_t step) {
  CHECK_EQ(boards[actor.index].step.load(), step - 1);
  boards[actor.index].step.store(step);
  actor.seen[actor.index] = step;
  bell->rung.fetch_add(1);
  syscall(SYS_futex, &bell->rung, FUTEX_WAKE, kActors, nullptr, nullptr, 0);
}

static void await_others(Actor& actor, uint64_t step) {
  for (int i = 0; i < kActors; ++i) {
    for (;;) {
      const uint32_t rung = bell->rung.load();
      const uint64_t other = boards[i].step.load();
      if (other < actor.seen[i])
        FAIL("actor %d saw actor %d at step %lu, now it is at %lu", actor.index, i, actor.seen[i],
             other);
      if (other > step + 1)
        FAIL("actor %d is at step %lu, actor %d already at %lu", actor.index, step, i, other);
      actor.seen[i] = other;
      if (other >= step) break;
      syscall(SYS_futex, &bell->rung, FUTEX_WAIT, rung, nullptr, nullptr, 0);
    }
  }
}

static void one_step(Actor& actor, uint64_t step) {
  CHECK_EQ(actor.step, step - 1);
  write_places(actor, step);
  move_descriptors(actor, step);
  meet_neighbours(actor, step);
  const int64_t now = now_ns();
  if (now < actor.last_ns) FAIL("the clock went back by %ld ns", actor.last_ns - now);
  actor.last_ns = now;
  actor.step = step;
  publish(actor, step);
  await_others(actor, step);
}

static void list_places(Actor& actor, Page* stack, Page* heap) {
  int count = 0;
  auto add = [&](Page* pages, int number) {
    for (int i = 0; i < number; ++i)
      actor.places[count++] = &pages[i].words[size_t(actor.index * 37 + i * 11) % kWords];
  };
  // The kinds lie far apart in the order, so that a step takes its time from the first to the last.
  add(private_pages + actor.index * kPrivate, kPrivate / 2);
  add(shared_pages + actor.index * kShared, kShared);
  add(stack, kStack);
  add(memfd_pages + actor.index * kMemfd, kMemfd);
  add(heap, kHeap);
  add(data_pages[actor.index], kData);
  add(file_pages + actor.index * kFile, kFile);
  add(private_pages + actor.index * kPrivate + kPrivate / 2, kPrivate / 2);
  actor.places[count++] = &thread_place;
  CHECK_EQ(count, kPlaces);
  for (volatile uint64_t* place : actor.places) *place = 0;
}

static void* act(void* argument) {
  Actor& actor = *static_cast<Actor*>(argument);
  Page stack[kStack];
  auto* heap = static_cast<Page*>(malloc(kHeap * sizeof(Page)));
  list_places(actor, stack, heap);
  // Asked after all have met in this step, so that everybody sees the same end.
  for (uint64_t step = 1; step <= bell->last_step.load(); ++step) {
    one_step(actor, step);
    if (actor.index == 0 && step % 8 == 0) pause_ms(1);  // leaves processors to others
  }
  free(heap);
  return nullptr;
}

// Ends, rather than hanging for ever, if a part of the state was lost that others wait for.
static void watch(uint64_t* last_sum, int64_t* last_change_ns) {
  uint64_t sum = 0;
  for (int i = 0; i < kActors; ++i) sum += boards[i].step.load();
  if (sum != *last_sum) {
    *last_sum = sum;
    *last_change_ns = now_ns();
  }
  if (now_ns() - *last_change_ns < kSilenceNsMax) return;
  FAIL("no step any more: %lu %lu %lu | %lu %lu %lu", boards[0].step.load(), boards[1].step.load(),
       boards[2].step.load(), boards[3].step.load(), boards[4].step.load(), boards[5].step.load());
}

static void open_descriptors() {
  int links[kActors][2];
  for (auto& link : links) SYS(pipe2(link, O_CLOEXEC));
  for (int i = 0; i < kActors; ++i) {
    Actor& actor = actors[i];
    actor.index = i;
    SYS(pipe2(actor.own_pipe, O_CLOEXEC));
    actor.link_out = links[i][1];
    // The ring goes to and fro between the processes.
    actor.link_in = links[(i + kActors - 1) % kActors][0];
    actor.file = SYS(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    actor.memfd = SYS(memfd_create("sequence-counter", MFD_CLOEXEC));
    SYS(ftruncate(actor.memfd, 8));
    actor.event = SYS(eventfd(0, EFD_CLOEXEC));
  }
}

static void map_memory() {
  private_pages = map<Page>(kActors * kPrivate, MAP_PRIVATE | MAP_ANONYMOUS);
  fill(private_pages, kActors * kPrivate * kPage, 1);
  shared_pages = map<Page>(kActors * kShared, MAP_SHARED | MAP_ANONYMOUS);
  boards = map<Board>(kActors, MAP_SHARED | MAP_ANONYMOUS);
  bell = map<Bell>(1, MAP_SHARED | MAP_ANONYMOUS);
  bell->last_step.store(UINT64_MAX);
  const int memfd = SYS(memfd_create("sequence-pages", MFD_CLOEXEC));
  SYS(ftruncate(memfd, kActors * kMemfd * kPage));
  memfd_pages = map<Page>(kActors * kMemfd, MAP_SHARED, memfd);
  const int file = SYS(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  CHECK_EQ(SYS(pread(file, file_words, sizeof file_words, 0)), sizeof file_words);
  file_pages = map<Page>(kActors * kFile, MAP_PRIVATE, file);
  close(file);
}

template <typename Between>
static void run_actors(int first, Between between) {
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i)
    CHECK_EQ(pthread_create(&threads[i], nullptr, act, &actors[first + i]), 0);
  between();
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  for (int i = first; i < first + kThreads; ++i) CHECK_EQ(actors[i].step, bell->last_step.load());
}

int main() {
  map_memory();
  open_descriptors();
  const pid_t other = SYS(fork());
  if (other == 0) {
    run_actors(kThreads, [] {});
    _exit(0);
  }
  run_actors(0, [] {
    uint64_t last_sum = 0;
    int64_t last_change_ns = now_ns();
    auto watching = [&] { watch(&last_sum, &last_change_ns); };
    for (int round = 0; round < 3; ++round) checkpoint_here(watching);
    bell->last_step.store(boards[0].step.load() + kStepsAfter);
    while (boards[0].step.load() < bell->last_step.load()) {
      pause_ms(1);
      watching();
    }
  });
  check_child(other);
  done();
}
