// A guided tracker against the truth, where a guide that misses something must be found out: few
// pages in many blocks, each way to change pages that there is, and a comparison after each step.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>

#include "memory/test_mirror.h"
#include "memory/test_steps.h"
#include "memory/test_target.h"
#include "memory/write_guide.h"

namespace perdure::memory {
namespace {

using Gate = Target::Gate;

class Guided : public testing::Test {
 protected:
  void SetUp() override {
    features_ = probe_tracker_features("");
    features_.guided_pages_min = 0;
    features_.hot_pages_max = 1024;
    features_.hot_fault_ns_min = 0;
    if (best_tracker(features_) != TrackerKind::kPagemapScan) GTEST_SKIP() << "no pagemap_scan";
    if (guide_.get() == nullptr) GTEST_SKIP() << "no write_guide";
  }
  void track(Target& target) {
    start_ = target.receive();
    tracker_ = Tracker::create(TrackerKind::kPagemapScan, target.pid(), target.take_uffd(),
                               features_, is_guided_ ? &guide_ : nullptr)
                   .value();
    precopy(target);
  }
  std::vector<Area> areas(Target& target) const {
    return target.areas(start_, start_ + kBlocks * kBlock);
  }
  void precopy(Target& target, Mode mode = Mode::kPrecopy) {
    auto scan = tracker_->scan(areas(target), mode);
    ASSERT_TRUE(scan.ok()) << scan.error().to_string();
    if (mode != Mode::kAhead) mirror_.apply(target.pid(), *scan, tracker_.get());
  }
  Scan cut(Target& target) {
    auto scan = tracker_->scan(areas(target), Mode::kCut);
    PD_ASSERT(scan.ok());
    mirror_.apply(target.pid(), *scan);
    if (learns_) mirror_.apply_hot(tracker_.get());
    return std::move(*scan);
  }

  uint64_t follow_random_changes();

  TrackerFeatures features_;
  LazyGuide guide_{LazyGuide::Use::kAllowed};
  std::unique_ptr<Tracker> tracker_;
  Mirror mirror_;
  uint64_t start_ = 0;
  bool is_guided_ = true;
  bool learns_ = false;    // which pages are hot
  uint64_t hot_cuts_ = 0;  // in which some were
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

TEST_F(Guided, NewPagesThatAPassFoundAheadAreInTheCutWhereverElseFaultsAre) {
  Target target([](Gate& gate) {
    uint8_t* arena = map_arena();
    memset(arena, 1, kBlock);
    gate.meet(reinterpret_cast<uint64_t>(arena));
    for (size_t page = kPagesOfBlock;; page += 10) {
      arena[page * kPageSize] = 1;
      gate.meet();
      arena[(page + 5) * kPageSize] = 1;
      gate.meet();
    }
  });
  track(target);
  cut(target);
  for (int round = 0; round < 5; ++round) {
    target.step();
    precopy(target, Mode::kAhead);
    target.step();
    EXPECT_EQ(cut(target).data.pages(), 2u);
    mirror_.expect_equal(target.pid(), start_, start_ + kBlocks * kBlock);
  }
}

// A child that shares such a page must not be given what the last epoch has.
TEST_F(Guided, WhatAPassHasFoundIsUnyieldedUntilItIsYielded) {
  Target target([](Gate& gate) {
    uint8_t* arena = map_arena();
    memset(arena, 1, kBlock);
    gate.meet(reinterpret_cast<uint64_t>(arena));
    while (true) {
      arena[3 * kPageSize] += 1;
      gate.meet();
    }
  });
  track(target);
  cut(target);
  const uint64_t page = (start_ >> kPageShift) + 3;
  for (const Mode yields : {Mode::kPrecopy, Mode::kCut}) {
    EXPECT_FALSE(tracker_->unyielded().contains(page));
    target.step();
    precopy(target, Mode::kAhead);
    EXPECT_TRUE(tracker_->unyielded().contains(page));
    yields == Mode::kCut ? (void)cut(target) : precopy(target);
    EXPECT_FALSE(tracker_->unyielded().contains(page));
    mirror_.expect_equal(target.pid(), start_, start_ + kBlock);
  }
}

TEST_F(Guided, GuardPagesBetweenWrittenPagesStay) {
  if (!features_.guard) GTEST_SKIP() << "no guard pages in PAGEMAP_SCAN";
  Target target([](Gate& gate) {
    uint8_t* arena = map_arena();
    memset(arena, 1, kBlock);
    PD_ASSERT(madvise(arena + 5 * kPageSize, kPageSize, MADV_GUARD_INSTALL) == 0);
    gate.meet(reinterpret_cast<uint64_t>(arena));
    while (true) {
      arena[kPageSize] += 1;
      arena[9 * kPageSize] += 1;
      gate.meet();
    }
  });
  track(target);
  cut(target);
  for (int round = 0; round < 3; ++round) {
    target.step();
    EXPECT_TRUE(cut(target).guard.contains((start_ >> kPageShift) + 5)) << round;
  }
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
    for (int pass = 0; pass < 4; ++pass)
      precopy(target, (round + pass) % 4 == 0 ? Mode::kAhead : Mode::kPrecopy);
    target.step();
    cut(target);
    mirror_.expect_equal(target.pid(), start_, start_ + kBlocks * kBlock);
  }
}

TEST_F(Guided, RandomChangesOfEveryKindAreFollowedExactly) {
  // Most cuts were guided, or the test would show nothing.
  EXPECT_LT(follow_random_changes(), kBlocks * kPagesOfBlock * 2 / 3);
}

// Among pages that are written before each cut, so that they are hot most of the time.
TEST_F(Guided, RandomChangesAmongHotPagesAreFollowedExactly) {
  learns_ = true;
  follow_random_changes();
  EXPECT_GT(hot_cuts_, 50u);
}

TEST_F(Guided, AndWithoutAGuide) {
  learns_ = true;
  is_guided_ = false;
  follow_random_changes();
  EXPECT_GT(hot_cuts_, 50u);
}

// Returns the pages that a cut looked at, on average.
uint64_t Guided::follow_random_changes() {
  Fd zero = Fd::adopt(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  Fd direct = direct_file();
  const Files files{zero.get(), direct.get()};
  std::random_device device;
  uint64_t looked = 0, cuts = 0;
  for (unsigned seed : {1u, 2u, 3u, device()}) {
    Target target([&](Gate& gate) { change_at_random(gate, seed, files, 1, learns_); });
    mirror_ = Mirror();
    track(target);
    cut(target);
    std::mt19937 random(seed + 100);
    for (int count = steps_wanted(); count > 0 && !HasFailure(); --count) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", steps left " << count);
      target.step();
      if (random() % 8 == 0) step_outside(random, target.pid(), start_);
      if (random() % 3 == 0) precopy(target, random() % 2 ? Mode::kPrecopy : Mode::kAhead);
      if (random() % 3 == 0) target.step();
      const Scan scan = cut(target);
      looked += scan.looked_pages;
      ++cuts;
      if (!tracker_->hot().empty()) ++hot_cuts_;
      mirror_.expect_equal(target.pid(), start_, start_ + kBlocks * kBlock);
    }
  }
  return looked / std::max<uint64_t>(cuts, 1);
}

}  // namespace
}  // namespace perdure::memory
