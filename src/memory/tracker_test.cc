#include "memory/tracker.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>

#include "memory/test_mirror.h"
#include "memory/test_target.h"
#include "memory/write_guide.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

namespace perdure::memory {
namespace {

using Gate = Target::Gate;

#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// How the tracker is chosen: the value of PERDURE_DISABLE, and the kind that this forces.
struct Choice {
  const char* name;
  const char* disabled;
  TrackerKind kind;
  bool guided = false;
};

class EveryTracker : public testing::TestWithParam<Choice> {
 protected:
  void SetUp() override {
    features_ = probe_tracker_features(GetParam().disabled);
    if (best_tracker(features_) != GetParam().kind) {
      GTEST_SKIP() << "this kernel lacks what " << GetParam().name << " needs";
    }
    if (GetParam().guided && guide_.get() == nullptr) GTEST_SKIP() << "no write_guide";
  }
  std::unique_ptr<Tracker> tracker_of(Target& target) {
    Fd uffd = GetParam().kind == TrackerKind::kPagemapScan ? target.take_uffd() : Fd();
    features_.guided_pages_min = 0;
    auto tracker = Tracker::create(GetParam().kind, target.pid(), std::move(uffd), features_,
                                   GetParam().guided ? &guide_ : nullptr);
    EXPECT_TRUE(tracker.ok()) << tracker.error().to_string();
    // A guide is looked for in the first pass.
    if (GetParam().guided) {
      EXPECT_TRUE((*tracker)->scan(target.areas(), Mode::kPrecopy).ok());
    }
    EXPECT_EQ((*tracker)->kind(), GetParam().kind);
    return std::move(*tracker);
  }
  bool incremental() const { return GetParam().kind != TrackerKind::kFull; }
  // Takes the address that the target tells and looks only at so many pages from there on.
  uint64_t watch(Target& target, uint64_t pages) {
    start_ = target.receive();
    end_ = start_ + pages * kPageSize;
    return start_;
  }
  Scan cut(Tracker& tracker, Target& target, Mirror& mirror) {
    auto scan = tracker.scan(target.areas(start_, end_), Mode::kCut);
    EXPECT_TRUE(scan.ok()) << scan.error().to_string();
    mirror.apply(target.pid(), *scan);
    return std::move(*scan);
  }
  // After every step of the target, what was copied so far is what it has.
  void cut_after_steps(int steps, Tracker& tracker, Target& target, Mirror& mirror) {
    for (int step = 0; step < steps; ++step) {
      target.step();
      cut(tracker, target, mirror);
      expect_equal(mirror, target);
    }
  }
  void precopy(Tracker& tracker, Target& target, Mirror& mirror) {
    auto scan = tracker.scan(target.areas(start_, end_), Mode::kPrecopy);
    ASSERT_TRUE(scan.ok()) << scan.error().to_string();
    mirror.apply(target.pid(), *scan, &tracker);
  }
  void expect_equal(const Mirror& mirror, const Target& target) {
    mirror.expect_equal(target.pid(), start_, end_);
  }
  uint64_t start_ = 0;
  uint64_t end_ = ~uint64_t{0};
  TrackerFeatures features_;
  LazyGuide guide_{LazyGuide::Use::kAllowed};
};

uint8_t* map_pages(size_t pages, int protection = PROT_READ | PROT_WRITE, int flags = 0,
                   int fd = -1) {
  int kind = MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0) | flags;
  void* address = mmap(nullptr, pages * kPageSize, protection, kind, fd, 0);
  PD_ASSERT(address != MAP_FAILED);
  return static_cast<uint8_t*>(address);
}
uint64_t number_of(const void* address) { return reinterpret_cast<uint64_t>(address); }
uint64_t page_of(uint64_t address) { return address >> kPageShift; }

TEST_P(EveryTracker, FirstCutHoldsTheWholeProcess) {
  if (kSanitized) GTEST_SKIP() << "the shadow memory of a sanitizer is too large to be compared";
  Target target([](Gate& gate) {
    uint8_t* bytes = map_pages(100);
    for (int page = 0; page < 100; page += 3) memset(bytes + page * kPageSize, page + 1, kPageSize);
    gate.meet(number_of(bytes));
  });
  auto tracker = tracker_of(target);
  target.receive();
  Mirror mirror;
  cut(*tracker, target, mirror);
  expect_equal(mirror, target);
  EXPECT_GT(mirror.size(), 34u);
}

// Of pages that are new the program would have had a fault anyway.
TEST_P(EveryTracker, FaultsOnWhatIsProtectedAreCountedInPassesAndCuts) {
  if (!incremental()) GTEST_SKIP() << "it protects nothing";
  Target target([](Gate& gate) {
    uint8_t* bytes = map_pages(1000);
    memset(bytes, 1, 500 * kPageSize);
    gate.meet(number_of(bytes));
    for (int page = 0; page < 40; page += 2) bytes[page * kPageSize] = 2;
    memset(bytes + 600 * kPageSize, 1, 100 * kPageSize);
    gate.meet();
    bytes[0] = 3;
    gate.meet();
    gate.meet();
  });
  auto tracker = tracker_of(target);
  watch(target, 1000);
  Mirror mirror;
  EXPECT_EQ(cut(*tracker, target, mirror).faulted_pages, 0u);
  target.step();
  EXPECT_EQ(cut(*tracker, target, mirror).faulted_pages, 20u);
  target.step();
  const Scan pass = tracker->scan(target.areas(start_, end_), Mode::kPrecopy).value();
  mirror.apply(target.pid(), pass, tracker.get());
  EXPECT_EQ(pass.faulted_pages + cut(*tracker, target, mirror).faulted_pages, 1u);
  target.step();
  EXPECT_EQ(cut(*tracker, target, mirror).faulted_pages, 0u);
}

TEST_P(EveryTracker, LaterCutsHoldWhatWasWritten) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_pages(1000);
    memset(bytes, 1, 1000 * kPageSize);
    gate.meet(number_of(bytes));
    bytes[10 * kPageSize] = 2;
    bytes[999 * kPageSize] = 3;
    gate.meet();
  });
  auto tracker = tracker_of(target);
  uint64_t start = watch(target, 1000);
  Mirror mirror;
  cut(*tracker, target, mirror);
  target.step();
  Scan second = cut(*tracker, target, mirror);
  EXPECT_TRUE(second.data.contains(page_of(start) + 10));
  EXPECT_TRUE(second.data.contains(page_of(start) + 999));
  if (incremental()) {
    EXPECT_FALSE(second.data.contains(page_of(start) + 11));
    EXPECT_LT(second.data.pages(), 50u);
  }
  expect_equal(mirror, target);
}

TEST_P(EveryTracker, DroppedPagesBecomeAbsent) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_pages(64);
    memset(bytes, 1, 64 * kPageSize);
    gate.meet(number_of(bytes));
    madvise(bytes + 8 * kPageSize, 8 * kPageSize, MADV_DONTNEED);
    munmap(bytes + 32 * kPageSize, 16 * kPageSize);
    volatile uint8_t zero = bytes[9 * kPageSize];  // reads the zero page
    (void)zero;
    gate.meet();
  });
  auto tracker = tracker_of(target);
  uint64_t first = page_of(watch(target, 64));
  Mirror mirror;
  cut(*tracker, target, mirror);
  target.step();
  Scan scan = cut(*tracker, target, mirror);
  for (uint64_t page : {8, 15, 32, 47}) EXPECT_TRUE(scan.absent.contains(first + page)) << page;
  for (uint64_t page : {7, 16, 31, 48}) EXPECT_FALSE(scan.absent.contains(first + page)) << page;
  expect_equal(mirror, target);
}

TEST_P(EveryTracker, ReplacedMappingIsNewEvenAtTheSameAddress) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_pages(16);
    memset(bytes, 1, 16 * kPageSize);
    gate.meet(number_of(bytes));
    void* again = mmap(bytes, 16 * kPageSize, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    PD_ASSERT(again == bytes);
    bytes[3 * kPageSize] = 9;
    gate.meet();
  });
  auto tracker = tracker_of(target);
  uint64_t first = page_of(watch(target, 16));
  Mirror mirror;
  cut(*tracker, target, mirror);
  target.step();
  Scan scan = cut(*tracker, target, mirror);
  EXPECT_TRUE(scan.data.contains(first + 3));
  EXPECT_TRUE(scan.absent.contains(first + 4));
  expect_equal(mirror, target);
}

TEST_P(EveryTracker, MovedPagesAreFoundAtTheirNewPlaceAndBack) {
  Target target([](Gate& gate) {
    uint8_t* room = map_pages(96, PROT_NONE);
    uint8_t* bytes = room + 72 * kPageSize;
    PD_ASSERT(mmap(bytes, 16 * kPageSize, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == bytes);
    for (int page = 0; page < 16; ++page) memset(bytes + page * kPageSize, page + 1, kPageSize);
    gate.meet(number_of(room));
    void* moved =
        mremap(bytes, 16 * kPageSize, 16 * kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED, room);
    PD_ASSERT(moved == room);
    gate.meet();
    room[0] = 77;
    void* back = mremap(room, 16 * kPageSize, 16 * kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED, bytes);
    PD_ASSERT(back == bytes);
    gate.meet();
  });
  auto tracker = tracker_of(target);
  watch(target, 96);
  Mirror mirror;
  cut(*tracker, target, mirror);
  cut_after_steps(2, *tracker, target, mirror);
}

TEST_P(EveryTracker, PagesThatForbidReadingAreCopied) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_pages(8);
    memset(bytes, 5, 8 * kPageSize);
    mprotect(bytes + 2 * kPageSize, 4 * kPageSize, PROT_NONE);
    gate.meet(number_of(bytes));
    mprotect(bytes, 8 * kPageSize, PROT_READ | PROT_WRITE);
    bytes[4 * kPageSize] = 6;
    mprotect(bytes, 8 * kPageSize, PROT_NONE);
    gate.meet();
  });
  auto tracker = tracker_of(target);
  watch(target, 8);
  Mirror mirror;
  cut(*tracker, target, mirror);
  expect_equal(mirror, target);
  target.step();
  cut(*tracker, target, mirror);
  expect_equal(mirror, target);
}

TEST_P(EveryTracker, PrivateFileMappingsHoldOnlyWrittenPages) {
  std::string path = "tracker_test." + std::to_string(getpid());
  Fd file = Fd::adopt(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  std::vector<uint8_t> content(16 * kPageSize, 0xAB);
  ASSERT_EQ(write(file.get(), content.data(), content.size()),
            static_cast<ssize_t>(content.size()));
  Target target([&](Gate& gate) {
    uint8_t* bytes = map_pages(16, PROT_READ | PROT_WRITE, 0, file.get());
    for (int page = 0; page < 16; ++page)
      (void)*static_cast<volatile uint8_t*>(bytes + page * kPageSize);
    bytes[2 * kPageSize] = 1;
    bytes[5 * kPageSize] = 1;
    gate.meet(number_of(bytes));
    madvise(bytes + 5 * kPageSize, kPageSize, MADV_DONTNEED);  // reads as the file again
    bytes[7 * kPageSize] = 1;
    gate.meet();
    bytes[5 * kPageSize] = 2;
    gate.meet();
  });
  auto tracker = tracker_of(target);
  uint64_t start = watch(target, 16);
  uint64_t first = page_of(start);
  Mirror mirror;
  Scan scan = cut(*tracker, target, mirror);
  for (uint64_t page = 0; page < 16; ++page) {
    EXPECT_EQ(scan.data.contains(first + page), page == 2 || page == 5) << page;
  }
  target.step();
  scan = cut(*tracker, target, mirror);
  EXPECT_TRUE(scan.absent.contains(first + 5));
  EXPECT_TRUE(scan.data.contains(first + 7));
  expect_equal(mirror, target);
  target.step();
  scan = cut(*tracker, target, mirror);
  EXPECT_TRUE(scan.data.contains(first + 5));
  expect_equal(mirror, target);
  unlink(path.c_str());
}

TEST_P(EveryTracker, HugePagesAreTrackedLikeSmallOnes) {
  constexpr size_t kHuge = 2u << 20;
  Target target([](Gate& gate) {
    uint8_t* room = map_pages(4 * kHuge / kPageSize);
    auto* bytes = reinterpret_cast<uint8_t*>((number_of(room) + kHuge - 1) & ~(kHuge - 1));
    madvise(bytes, 2 * kHuge, MADV_HUGEPAGE);
    memset(bytes, 1, 2 * kHuge);
    gate.meet(number_of(bytes));
    bytes[17 * kPageSize] = 2;
    gate.meet();
    madvise(bytes + kHuge, kHuge, MADV_DONTNEED);
    volatile uint8_t zero = bytes[kHuge];  // the huge zero page
    (void)zero;
    gate.meet();
    memset(bytes + kHuge, 4, kHuge);
    gate.meet();
  });
  auto tracker = tracker_of(target);
  uint64_t start = watch(target, 2 * kHuge / kPageSize);
  Mirror mirror;
  cut(*tracker, target, mirror);
  for (int round = 0; round < 3; ++round) {
    target.step();
    Scan scan = cut(*tracker, target, mirror);
    expect_equal(mirror, target);
    // What is read without having been written is zeros: the kernel's, or, where it has none to
    // share, of the reader's own.
    const uint64_t dropped = page_of(start + kHuge);
    bool found = round == 0   ? scan.data.contains(page_of(start) + 17)
                 : round == 1 ? scan.absent.contains(dropped) || scan.data.contains(dropped)
                              : scan.data.contains(dropped);
    EXPECT_TRUE(found) << round;
  }
}

TEST_P(EveryTracker, GuardPagesAreReportedAndNeverCopied) {
  if (!features_.guard && GetParam().kind == TrackerKind::kPagemapScan)
    GTEST_SKIP() << "no PAGE_IS_GUARD";
  Target target([](Gate& gate) {
    uint8_t* bytes = map_pages(16);
    memset(bytes, 1, 16 * kPageSize);
    int done = madvise(bytes + 4 * kPageSize, 2 * kPageSize, MADV_GUARD_INSTALL);
    gate.meet(done == 0 ? number_of(bytes) : 0);
    madvise(bytes + 4 * kPageSize, kPageSize, MADV_GUARD_REMOVE);
    madvise(bytes + 9 * kPageSize, kPageSize, MADV_GUARD_INSTALL);
    gate.meet();
  });
  auto tracker = tracker_of(target);
  uint64_t start = watch(target, 16);
  if (start == 0) GTEST_SKIP() << "this kernel has no MADV_GUARD_INSTALL";
  uint64_t first = page_of(start);
  PageSet before, after;
  before.add({first + 4, 2});
  after.add({first + 5, 1});
  after.add({first + 9, 1});
  Mirror mirror;
  EXPECT_EQ(cut(*tracker, target, mirror).guard, before);
  expect_equal(mirror, target);
  EXPECT_EQ(cut(*tracker, target, mirror).guard, before);
  target.step();
  Scan scan = cut(*tracker, target, mirror);
  EXPECT_EQ(scan.guard, after);
  EXPECT_TRUE(scan.absent.contains(first + 9));
  expect_equal(mirror, target);
}

TEST_P(EveryTracker, GrowingStacksAndHeapsAreFollowed) {
  if (kSanitized) GTEST_SKIP() << "the shadow memory of a sanitizer is too large to be compared";
  Target target([](Gate& gate) {
    uint8_t* room = map_pages(300, PROT_NONE);
    auto* low =
        static_cast<uint8_t*>(mmap(room + 298 * kPageSize, 2 * kPageSize, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0));
    munmap(room, 298 * kPageSize);
    low[0] = 1;
    auto* heap = static_cast<uint8_t*>(sbrk(0));
    gate.meet();
    low[-static_cast<ptrdiff_t>(kPageSize)] = 2;
    PD_ASSERT(sbrk(10 * kPageSize) != reinterpret_cast<void*>(-1));
    memset(heap + kPageSize, 3, 8 * kPageSize);
    gate.meet();
    low[-static_cast<ptrdiff_t>(kPageSize) * 2] = 4;
    heap[2 * kPageSize] = 5;
    gate.meet();
  });
  auto tracker = tracker_of(target);
  target.receive();
  Mirror mirror;
  cut(*tracker, target, mirror);
  cut_after_steps(2, *tracker, target, mirror);
}

TEST_P(EveryTracker, PagesGivenBackComeAgain) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_pages(16);
    memset(bytes, 1, 16 * kPageSize);
    gate.meet(number_of(bytes));
    munmap(bytes + 8 * kPageSize, 8 * kPageSize);
    gate.meet();
  });
  auto tracker = tracker_of(target);
  uint64_t first = page_of(watch(target, 16));
  Mirror lost, mirror;
  Scan scan = cut(*tracker, target, lost);
  tracker->give_back(scan.data);
  target.step();
  Scan again = cut(*tracker, target, mirror);
  EXPECT_TRUE(again.data.contains(first));
  EXPECT_TRUE(again.absent.contains(first + 8));
  expect_equal(mirror, target);
}

TEST_P(EveryTracker, AWriterDuringPrecopyLosesNothing) {
  constexpr size_t kPages = 2000;
  Target target([](Gate& gate) {
    uint8_t* bytes = map_pages(kPages);
    madvise(bytes, kPages * kPageSize, MADV_NOHUGEPAGE);
    gate.meet(number_of(bytes));
    std::mt19937 random(1);
    for (int round = 0; round < 5; ++round) {
      std::atomic<bool> stop = false;
      std::thread writer([&] {
        while (!stop) {
          uint8_t* page = bytes + (random() % kPages) * kPageSize;
          memset(page + random() % 2048, static_cast<int>(random()), 2048);
          if (random() % 64 == 0) madvise(page, kPageSize, MADV_DONTNEED);
        }
      });
      gate.meet();  // the writer runs
      stop = true;
      writer.join();
      gate.meet();  // it has stopped
    }
  });
  auto tracker = tracker_of(target);
  watch(target, kPages);
  Mirror mirror;
  for (int round = 0; round < 5; ++round) {
    target.step();
    for (int pass = 0; pass < 4; ++pass) precopy(*tracker, target, mirror);
    target.step();
    cut(*tracker, target, mirror);
    expect_equal(mirror, target);
  }
}

// A direct read takes hold of its pages before it waits for the disk; a scan meanwhile could
// protect them, and what the disk then writes passes by the protection.
TEST_P(EveryTracker, DirectReadsDuringPrecopyLoseNothing) {
  constexpr size_t kPages = 64, kBlocks = 4096;
  std::string path = "tracker_test.direct." + std::to_string(getpid());
  Fd file = Fd::adopt(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  std::vector<uint8_t> content(kBlocks * kPageSize);
  std::mt19937 fill(1);
  for (size_t at = 0; at < content.size(); at += kPageSize)
    content[at + 9] = static_cast<uint8_t>(fill());
  ASSERT_EQ(write(file.get(), content.data(), content.size()),
            static_cast<ssize_t>(content.size()));
  ASSERT_EQ(fsync(file.get()), 0);
  Fd direct = Fd::adopt(open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  unlink(path.c_str());
  if (!direct.valid()) GTEST_SKIP() << "this file system has no O_DIRECT";
  Target target([&](Gate& gate) {
    uint8_t* bytes = map_pages(kPages);
    madvise(bytes, kPages * kPageSize, MADV_NOHUGEPAGE);
    gate.meet(number_of(bytes));
    std::mt19937 random(2);
    while (true) {
      std::atomic<bool> stop = false;
      std::thread reader([&] {
        while (!stop) {
          size_t page = random() % (kPages - 8);
          off_t block = static_cast<off_t>(random() % (kBlocks - 8));
          PD_ASSERT(pread(direct.get(), bytes + page * kPageSize, 8 * kPageSize, block * 4096) > 0);
        }
      });
      gate.meet();
      stop = true;
      reader.join();
      gate.meet();
    }
  });
  auto tracker = tracker_of(target);
  watch(target, kPages);
  Mirror mirror;
  for (int round = 0; round < 60 && !HasFailure(); ++round) {
    target.step();
    for (int pass = 0; pass < 4; ++pass) precopy(*tracker, target, mirror);
    target.step();
    cut(*tracker, target, mirror);
    expect_equal(mirror, target);
  }
}

// What the child of the random test does to its arena, by the number of the step.
void random_operation(std::mt19937& random, uint8_t* arena, size_t pages, int file) {
  size_t first = random() % pages;
  size_t count = std::min<size_t>(1 + random() % 24, pages - first);
  uint8_t* at = arena + first * kPageSize;
  size_t size = count * kPageSize;
  constexpr int kAccess = PROT_READ | PROT_WRITE;
  switch (random() % 12) {
    case 0:
      (void)mmap(at, size, kAccess, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      break;
    case 1:
      (void)mmap(at, size, kAccess, MAP_PRIVATE | MAP_FIXED, file, 0);
      break;
    case 2:
      madvise(at, size, MADV_DONTNEED);
      break;
    case 3:
      mprotect(at, size, random() % 2 ? PROT_NONE : PROT_READ);
      break;
    case 4:
      munmap(at, size);
      break;
    case 5: {
      uint8_t* to = arena + (random() % (pages - count + 1)) * kPageSize;
      if (to + size <= at || at + size <= to)
        (void)mremap(at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
      break;
    }
    case 6:
      madvise(at, size, random() % 2 ? MADV_GUARD_INSTALL : MADV_GUARD_REMOVE);
      break;
    case 7:
      madvise(at, size, random() % 2 ? MADV_PAGEOUT : MADV_FREE);
      break;
    default: {
      // Only where memory can be written: write(2) into a pipe of our own tells without a signal.
      int ends[2];
      PD_ASSERT(pipe(ends) == 0);
      for (size_t page = 0; page < count; ++page) {
        uint64_t value = random() % 8 ? random() : 0;
        PD_ASSERT(write(ends[1], &value, sizeof(value)) == sizeof(value));
        (void)!::read(ends[0], at + page * kPageSize + random() % 4088, sizeof(value));
        int left = 0;
        while (ioctl(ends[0], FIONREAD, &left) == 0 && left > 0) (void)!::read(ends[0], &value, 1);
      }
      close(ends[0]);
      close(ends[1]);
    }
  }
}

TEST_P(EveryTracker, RandomOperationsAreFollowedExactly) {
  constexpr size_t kPages = 200;
  Fd file = Fd::adopt(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  for (unsigned seed = 1; seed <= 4; ++seed) {
    Target target([&](Gate& gate) {
      std::mt19937 random(seed);
      uint8_t* arena = map_pages(kPages);
      gate.meet(number_of(arena));
      while (true) {
        random_operation(random, arena, kPages, file.get());
        gate.meet();
      }
    });
    auto tracker = tracker_of(target);
    watch(target, kPages);
    Mirror mirror;
    std::mt19937 random(seed + 100);
    for (int step = 0; step < 150 && !HasFailure(); ++step) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << " step " << step);
      for (unsigned count = 1 + random() % 5; count > 0; --count) target.step();
      if (random() % 3 == 0) {
        precopy(*tracker, target, mirror);
        continue;
      }
      cut(*tracker, target, mirror);
      if (random() % 3 == 0) expect_equal(mirror, target);
    }
    cut(*tracker, target, mirror);
    expect_equal(mirror, target);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, EveryTracker,
    testing::Values(Choice{"pagemap_scan", "", TrackerKind::kPagemapScan},
                    Choice{"guided", "", TrackerKind::kPagemapScan, true},
                    Choice{"soft_dirty", "pagemap_scan", TrackerKind::kSoftDirty},
                    Choice{"full_by_scan", "wp_async,soft_dirty", TrackerKind::kFull},
                    Choice{"full_by_pagemap", "pagemap_scan,soft_dirty", TrackerKind::kFull}),
    [](const auto& choice) { return std::string(choice.param.name); });

TEST(TrackerFeatures, CanBeDisabledByName) {
  TrackerFeatures none = probe_tracker_features("soft_dirty,pagemap_scan,wp_async");
  EXPECT_FALSE(none.pagemap_scan || none.wp_async || none.guard || none.soft_dirty);
  EXPECT_EQ(best_tracker(none), TrackerKind::kFull);
  EXPECT_EQ(probe_tracker_features("pagemap").pagemap_scan,
            probe_tracker_features("").pagemap_scan);
}

}  // namespace
}  // namespace perdure::memory
