// A guided tracker against the truth, where a guide that misses something must be found out: few
// pages in many blocks, each way to change pages that there is, and a comparison after each step.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

#include "memory/test_mirror.h"
#include "memory/test_target.h"
#include "memory/write_guide.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace perdure::memory {
namespace {

using Gate = Target::Gate;

constexpr size_t kBlock = size_t{1} << kBlockShift;
constexpr size_t kBlocks = 10;
constexpr size_t kPagesOfBlock = kBlock / kPageSize;
constexpr int kAccess = PROT_READ | PROT_WRITE;

uint8_t* map_arena() {
  void* map = mmap(nullptr, (kBlocks + 1) * kBlock, kAccess, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  PD_ASSERT(map != MAP_FAILED);
  const uint64_t start = (reinterpret_cast<uint64_t>(map) + kBlock - 1) / kBlock * kBlock;
  return reinterpret_cast<uint8_t*>(start);
}

// Some pages in one block or across the border of two.
struct Piece {
  uint8_t* at;
  size_t size;
};
Piece random_piece(std::mt19937& random, uint8_t* arena) {
  const size_t block = random() % kBlocks;
  const size_t first = block * kPagesOfBlock + (random() % 2 ? random() % 16 : 500 + random() % 12);
  const size_t count = std::min<size_t>(1 + random() % 20, kBlocks * kPagesOfBlock - first);
  return {arena + first * kPageSize, count * kPageSize};
}

// Where memory can be written; elsewhere without a signal.
void write_by_pipe(uint8_t* to, uint64_t value) {
  int ends[2];
  PD_ASSERT(pipe(ends) == 0);
  PD_ASSERT(::write(ends[1], &value, sizeof(value)) == sizeof(value));
  (void)!::read(ends[0], to, sizeof(value));
  close(ends[0]);
  close(ends[1]);
}

// Writes where memory can be written: the kernel does it, so that there is no signal elsewhere.
void write_some(std::mt19937& random, const Piece& piece, int zero) {
  for (size_t at = 0; at < piece.size; at += kPageSize) {
    uint8_t* to = piece.at + at + random() % 4000;
    (void)!::read(zero, to, 8);  // faults in the kernel
    const uint64_t value = random();
    iovec from = {const_cast<uint64_t*>(&value), sizeof(value)}, there = {to, sizeof(value)};
    (void)!process_vm_readv(getpid(), &from, 1, &there, 1, 0);
    write_by_pipe(to, value);
  }
}

// By the processor itself, from a thread of its own at times. Only pages that can be written.
void write_plainly(std::mt19937& random, const Piece& piece) {
  unsigned char resident[64];
  if (mincore(piece.at, piece.size, resident) != 0) return;
  mprotect(piece.at, piece.size, kAccess);
  madvise(piece.at, piece.size, MADV_GUARD_REMOVE);
  const auto write = [&random, piece] {
    for (size_t at = 0; at < piece.size; at += kPageSize) {
      *reinterpret_cast<volatile uint8_t*>(piece.at + at + random() % 4096) =
          static_cast<uint8_t>(random());
    }
  };
  if (random() % 4 == 0) {
    std::thread(write).join();
  } else {
    write();
  }
}

struct Files {
  int zero = -1;
  int direct = -1;  // of 64 pages, O_DIRECT; -1: not possible here
};

void step(std::mt19937& random, uint8_t* arena, const Files& files) {
  const Piece piece = random_piece(random, arena);
  const Piece other = random_piece(random, arena);
  uint8_t* const block = arena + random() % kBlocks * kBlock;
  constexpr int kFresh = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  switch (random() % 40) {
    case 0:
      (void)mmap(piece.at, piece.size, kAccess, kFresh, -1, 0);
      break;
    case 1:
      (void)mmap(piece.at, piece.size, kAccess, kFresh | MAP_POPULATE, -1, 0);
      break;
    case 2:
      munmap(piece.at, piece.size);
      (void)mmap(piece.at, piece.size, kAccess, kFresh, -1, 0);
      break;
    case 3:
      madvise(piece.at, piece.size, MADV_DONTNEED);
      break;
    case 4:
      madvise(piece.at, piece.size, MADV_FREE);
      break;
    case 5:
      madvise(piece.at, piece.size, MADV_PAGEOUT);
      break;
    case 6:
      mprotect(piece.at, piece.size, random() % 2 ? PROT_NONE : PROT_READ);
      break;
    case 7:
      if (random() % 4 == 0) munmap(piece.at, piece.size);
      break;
    case 8:
      if (other.at + piece.size <= piece.at || piece.at + piece.size <= other.at) {
        (void)mremap(piece.at, piece.size, piece.size, MREMAP_MAYMOVE | MREMAP_FIXED, other.at);
      }
      break;
    case 9:
      madvise(piece.at, piece.size, MADV_GUARD_INSTALL);
      break;
    case 10:
      madvise(piece.at, piece.size, MADV_GUARD_REMOVE);
      break;
    case 11:
      madvise(block, kBlock, random() % 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
      break;
    case 12:
      madvise(block, kBlock, MADV_COLLAPSE);
      break;
    case 13:
      (void)madvise(piece.at, piece.size, 23);  // MADV_POPULATE_WRITE
      break;
    case 14: {
      const pid_t child = fork();
      if (child == 0) _exit(0);
      if (random() % 2) write_plainly(random, piece);
      waitpid(child, nullptr, 0);
      break;
    }
    case 15:
      (void)!pread(files.direct, piece.at, piece.size, 0);
      break;
    case 16: {
      iovec parts[2] = {{piece.at, kPageSize}, {other.at, kPageSize}};
      (void)!preadv(files.direct, parts, 2, static_cast<off_t>(random() % 32 * kPageSize));
      break;
    }
    case 17:
      // Makes the page writable without a fault, so that the write after it is none either.
      syscall(SYS_futex, piece.at, FUTEX_WAKE, 1, nullptr, nullptr, 0);
      write_by_pipe(piece.at + 8, random());
      break;
    case 18: {
      iovec parts[2] = {{piece.at, piece.size}, {other.at, other.size}};
      const int self = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
      syscall(SYS_process_madvise, self, parts, 2, MADV_DONTNEED, 0);
      close(self);
      break;
    }
    case 19:
    case 20:
      write_some(random, piece, files.zero);
      break;
    default:
      write_plainly(random, piece);
  }
}

// What the test itself does to the target's memory, from outside.
void step_outside(std::mt19937& random, pid_t pid, uint64_t arena) {
  const Piece piece = random_piece(random, reinterpret_cast<uint8_t*>(arena));
  const Piece other = random_piece(random, reinterpret_cast<uint8_t*>(arena));
  uint64_t value = random();
  if (random() % 2 == 0) {
    Fd mem = kernel::open_proc_file(pid, "mem", O_RDWR).value();
    (void)!pwrite(mem.get(), &value, sizeof(value), reinterpret_cast<off_t>(piece.at) + 16);
    return;
  }
  iovec local[2] = {{&value, sizeof(value)}, {&value, sizeof(value)}};
  iovec remote[2] = {{piece.at + 4, sizeof(value)}, {other.at + 8, sizeof(value)}};
  const size_t count = 1 + random() % 2;
  (void)!process_vm_writev(pid, local, count, remote, count, 0);
}

Fd direct_file() {
  std::string path = "guided_test." + std::to_string(getpid());
  Fd file = Fd::adopt(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  std::vector<uint8_t> content(64 * kPageSize);
  for (size_t at = 0; at < content.size(); ++at) content[at] = static_cast<uint8_t>(at / 97 + 1);
  PD_ASSERT(write(file.get(), content.data(), content.size()) > 0 && fsync(file.get()) == 0);
  Fd direct = Fd::adopt(open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  unlink(path.c_str());
  return direct;
}

// PERDURE_TEST_STEPS for more of them.
int steps_wanted() {
  const char* text = std::getenv("PERDURE_TEST_STEPS");
  return text == nullptr ? 100 : std::atoi(text);
}

class Guided : public testing::Test {
 protected:
  void SetUp() override {
    features_ = probe_tracker_features("");
    features_.guided_pages_min = 0;
    if (best_tracker(features_) != TrackerKind::kPagemapScan) GTEST_SKIP() << "no pagemap_scan";
    if (guide_.get() == nullptr) GTEST_SKIP() << "no write_guide";
  }
  void track(Target& target) {
    start_ = target.receive();
    tracker_ = Tracker::create(TrackerKind::kPagemapScan, target.pid(), target.take_uffd(),
                               features_, &guide_)
                   .value();
    precopy(target);
  }
  std::vector<Area> areas(Target& target) const {
    return target.areas(start_, start_ + kBlocks * kBlock);
  }
  void precopy(Target& target) {
    auto scan = tracker_->scan(areas(target), Mode::kPrecopy);
    ASSERT_TRUE(scan.ok()) << scan.error().to_string();
    mirror_.apply(target.pid(), *scan, tracker_.get());
  }
  Scan cut(Target& target) {
    auto scan = tracker_->scan(areas(target), Mode::kCut);
    PD_ASSERT(scan.ok());
    mirror_.apply(target.pid(), *scan);
    return std::move(*scan);
  }

  TrackerFeatures features_;
  LazyGuide guide_{LazyGuide::Use::kAllowed};
  std::unique_ptr<Tracker> tracker_;
  Mirror mirror_;
  uint64_t start_ = 0;
};

TEST_F(Guided, ACutLooksOnlyWhereSomethingHappened) {
  Target target([](Gate& gate) {
    uint8_t* arena = map_arena();
    memset(arena, 1, kBlocks * kBlock);
    gate.meet(reinterpret_cast<uint64_t>(arena));
    while (true) {
      arena[3 * kBlock] += 1;
      arena[7 * kBlock + 9 * kPageSize] += 1;
      gate.meet();
    }
  });
  track(target);
  cut(target);
  for (int round = 0; round < 3; ++round) {
    target.step();
    Scan scan = cut(target);
    EXPECT_EQ(scan.data.pages(), 2u);
    EXPECT_GT(scan.looked_pages, 0u);
    EXPECT_LE(scan.looked_pages, 2 * kPagesOfBlock);
  }
  mirror_.expect_equal(target.pid(), start_, start_ + kBlocks * kBlock);
}

// As a dynamic linker leaves them: written, then made read-only.
TEST_F(Guided, PagesOfFilesThatCannotBeWrittenAreFollowed) {
  constexpr size_t kPages = 16;
  Target target([](Gate& gate) {
    uint8_t* arena = map_arena();
    memset(arena, 1, kPageSize);
    const Fd file = Fd::adopt(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    uint8_t* pages = arena + 2 * kBlock;
    constexpr int kPlace = MAP_PRIVATE | MAP_FIXED;
    PD_ASSERT(mmap(pages, kPages * kPageSize, kAccess, kPlace, file.get(), 0) == pages);
    for (size_t at = 0; at < kPages; at += 2) pages[at * kPageSize] = 7;
    mprotect(pages, kPages * kPageSize, PROT_READ);
    gate.meet(reinterpret_cast<uint64_t>(arena));
    gate.meet();
    mprotect(pages, kPages * kPageSize, kAccess);
    pages[2 * kPageSize] = 8;
    pages[3 * kPageSize] = 8;
    mprotect(pages, kPages * kPageSize, PROT_READ);
    gate.meet();
    madvise(pages + 4 * kPageSize, 2 * kPageSize, MADV_DONTNEED);
    gate.meet();
    gate.meet();
  });
  const auto expect_equal = [&] {
    mirror_.expect_equal(target.pid(), start_, start_ + kBlocks * kBlock);
  };
  track(target);
  EXPECT_EQ(cut(target).data.pages(), 1 + kPages / 2);
  target.step();
  EXPECT_EQ(cut(target).data.pages(), 0u);
  expect_equal();
  target.step();
  EXPECT_GE(cut(target).data.pages(), 2u);
  expect_equal();
  cut(target);
  target.step();
  const Scan dropped = cut(target);
  EXPECT_EQ(dropped.data.pages(), 0u);
  EXPECT_EQ(dropped.absent.pages(), 1u);
  expect_equal();
  // A debugger's breakpoint.
  PD_ASSERT(ptrace(PTRACE_SEIZE, target.pid(), 0, 0) == 0);
  PD_ASSERT(ptrace(PTRACE_INTERRUPT, target.pid(), 0, 0) == 0);
  PD_ASSERT(waitpid(target.pid(), nullptr, __WALL) == target.pid());
  PD_ASSERT(ptrace(PTRACE_POKEDATA, target.pid(), start_ + 2 * kBlock + 6 * kPageSize, 9) == 0);
  PD_ASSERT(ptrace(PTRACE_DETACH, target.pid(), 0, 0) == 0);
  EXPECT_GE(cut(target).data.pages(), 1u);
  expect_equal();
}

// Several threads fault at the same pages at the same time, now and then for the first time, while
// passes settle pages.
TEST_F(Guided, WritersOfTheSamePagesDuringPassesLoseNothing) {
  constexpr size_t kHot = 8, kThreads = 3, kRounds = 100;
  Target target([](Gate& gate) {
    uint8_t* arena = map_arena();
    gate.meet(reinterpret_cast<uint64_t>(arena));
    for (size_t round = 0; round < kRounds; ++round) {
      std::atomic<bool> stop = false;
      std::vector<std::jthread> writers;
      for (size_t number = 0; number < kThreads; ++number) {
        writers.emplace_back([&, number] {
          std::minstd_rand random(static_cast<unsigned>(round * kThreads + number + 1));
          for (uint8_t count = 0; !stop; ++count) {
            const bool anywhere = random() % 512 == 0;
            const size_t page = random() % (anywhere ? kBlocks * kPagesOfBlock : kHot);
            std::atomic_ref(arena[page * kPageSize + number]).store(count);
          }
        });
      }
      gate.meet();  // they run
      stop = true;
      writers.clear();
      gate.meet();  // they have stopped
    }
  });
  track(target);
  cut(target);
  for (size_t round = 0; round < kRounds && !HasFailure(); ++round) {
    target.step();
    for (int pass = 0; pass < 4; ++pass) precopy(target);
    target.step();
    cut(target);
    mirror_.expect_equal(target.pid(), start_, start_ + kBlocks * kBlock);
  }
}

TEST_F(Guided, RandomChangesOfEveryKindAreFollowedExactly) {
  Fd zero = Fd::adopt(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  Fd direct = direct_file();
  const Files files{zero.get(), direct.get()};
  std::random_device device;
  uint64_t looked = 0, cuts = 0;
  for (unsigned seed : {1u, 2u, 3u, device()}) {
    Target target([&](Gate& gate) {
      std::mt19937 random(seed);
      uint8_t* arena = map_arena();
      for (size_t block = 0; block < kBlocks; ++block) {
        memset(arena + block * kBlock, static_cast<int>(block), 24 * kPageSize);
      }
      gate.meet(reinterpret_cast<uint64_t>(arena));
      while (true) {
        step(random, arena, files);
        gate.meet();
      }
    });
    mirror_ = Mirror();
    track(target);
    cut(target);
    std::mt19937 random(seed + 100);
    for (int count = steps_wanted(); count > 0 && !HasFailure(); --count) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", steps left " << count);
      target.step();
      if (random() % 8 == 0) step_outside(random, target.pid(), start_);
      if (random() % 3 == 0) precopy(target);
      if (random() % 3 == 0) target.step();
      const Scan scan = cut(target);
      looked += scan.looked_pages;
      ++cuts;
      mirror_.expect_equal(target.pid(), start_, start_ + kBlocks * kBlock);
    }
  }
  // Most cuts were guided, or the test would show nothing.
  EXPECT_LT(looked / cuts, kBlocks * kPagesOfBlock * 2 / 3);
}

}  // namespace
}  // namespace perdure::memory
