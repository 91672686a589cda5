// Two processes with three threads each, that map, move, protect, discard and unmap memory of all
// kinds while saves are taken. Each page holds what it last was given; discarded ones are zero.

// test: trackers

#include <pthread.h>
#include <sys/mman.h>

#include <atomic>
#include <vector>

#include "support/program.h"

static constexpr int kThreads = 3;
static constexpr size_t kRangesMax = 12, kPagesMax = 24;

struct Range {
  uint64_t* address = nullptr;
  std::vector<uint64_t> pages;  // what the first word of each holds
  bool shared = false;
};

class Storm {
 public:
  explicit Storm(uint64_t seed) : random_(seed) {}

  void turn() {
    const size_t index = next() % kRangesMax;
    Range& range = ranges_[index];
    if (!range.address) return map(range);
    check(range);
    switch (next() % 6) {
      case 0:
        return unmap(range);
      case 1:
        return move(range);
      case 2:
        return protect(range);
      case 3:
        return discard(range);
      default:
        return write(range, next() % range.pages.size());
    }
  }
  void check_all() const {
    for (const Range& range : ranges_)
      if (range.address) check(range);
  }

 private:
  static constexpr size_t kPage = 4096, kWords = kPage / 8;

  uint64_t next() { return random_ = test::mix(random_ + 1); }
  static size_t bytes(const Range& range) { return range.pages.size() * kPage; }

  void map(Range& range) {
    range.pages.assign(1 + next() % kPagesMax, 0);
    range.shared = next() % 3 == 0;
    // A memfd that nothing but its mapping holds, or no file at all.
    const int memfd =
        range.shared && next() % 2 == 0 ? SYS(memfd_create("map-storm", MFD_CLOEXEC)) : -1;
    if (memfd >= 0) SYS(ftruncate(memfd, off_t(bytes(range))));
    const int flags = (range.shared ? MAP_SHARED : MAP_PRIVATE) | (memfd < 0 ? MAP_ANONYMOUS : 0);
    void* address = mmap(nullptr, bytes(range), PROT_READ | PROT_WRITE, flags, memfd, 0);
    CHECK(address != MAP_FAILED);
    if (memfd >= 0) close(memfd);
    range.address = static_cast<uint64_t*>(address);
    for (size_t page = 0; page < range.pages.size(); page += 1 + next() % 3) write(range, page);
  }
  void write(Range& range, size_t page) {
    range.pages[page] = next();
    range.address[page * kWords] = range.pages[page];
    range.address[page * kWords + kWords - 1] = ~range.pages[page];
  }
  void unmap(Range& range) {
    SYS(munmap(range.address, bytes(range)));
    range.address = nullptr;
  }
  void move(Range& range) {
    const size_t before = bytes(range);
    // Shared memory without a file of its own cannot grow beyond what it was made with.
    if (!range.shared) range.pages.resize(1 + next() % kPagesMax, 0);
    void* moved = mremap(range.address, before, bytes(range), MREMAP_MAYMOVE);
    if (moved == MAP_FAILED)
      FAIL("mremap from %zu to %zu bytes: %s", before, bytes(range), strerror(errno));
    range.address = static_cast<uint64_t*>(moved);
  }
  void protect(Range& range) {
    SYS(mprotect(range.address, bytes(range), PROT_READ));
    check(range);
    SYS(mprotect(range.address, bytes(range), PROT_READ | PROT_WRITE));
  }
  void discard(Range& range) {
    SYS(madvise(range.address, bytes(range), range.shared ? MADV_REMOVE : MADV_DONTNEED));
    for (uint64_t& page : range.pages) page = 0;
  }
  static void check(const Range& range) {
    for (size_t page = 0; page < range.pages.size(); ++page) {
      const uint64_t first = range.address[page * kWords],
                     last = range.address[page * kWords + kWords - 1];
      const uint64_t wanted = range.pages[page];
      if (first != wanted || last != (wanted ? ~wanted : 0))
        FAIL("page %zu of %zu, %s: %lx and %lx, not %lx", page, range.pages.size(),
             range.shared ? "shared" : "private", first, last, wanted);
    }
  }

  uint64_t random_;
  Range ranges_[kRangesMax];
};

struct Shared {
  std::atomic<uint64_t> turns[2 * kThreads];
  std::atomic<bool> stop;
};
static Shared* shared;

struct Worker {
  int index;
  pthread_t thread;
};

static void* work(void* argument) {
  const Worker& worker = *static_cast<Worker*>(argument);
  Storm storm(uint64_t(worker.index) << 32);
  while (!shared->stop.load()) {
    for (int i = 0; i < 20; ++i) storm.turn();
    shared->turns[worker.index].fetch_add(1);
    pause_ms(1);
  }
  storm.check_all();
  return nullptr;
}

template <typename Between>
static void run(int first, Between between) {
  Worker workers[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    workers[i].index = first + i;
    CHECK_EQ(pthread_create(&workers[i].thread, nullptr, work, &workers[i]), 0);
  }
  between();
  for (Worker& worker : workers) CHECK_EQ(pthread_join(worker.thread, nullptr), 0);
}

static void await_turns() {
  for (auto& turns : shared->turns) {
    const uint64_t before = turns.load();
    const int64_t begin = now_ms();
    while (turns.load() < before + 3) {
      pause_ms(1);
      if (now_ms() - begin > 20'000) FAIL("a thread no longer goes on");
    }
  }
}

int main() {
  void* address = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(address != MAP_FAILED);
  shared = new (address) Shared{};
  const pid_t child = SYS(fork());
  if (child == 0) {
    run(kThreads, [] {});
    _exit(0);
  }
  run(0, [] {
    for (int round = 0; round < 3; ++round) {
      await_turns();
      checkpoint_here();
    }
    await_turns();
    shared->stop.store(true);
  });
  check_child(child);
  done();
}
