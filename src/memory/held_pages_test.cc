// Pages that are copied after the process runs again, while it writes to them: each is as it was
// when the process stood still, or is told to be lost.
#include "memory/held_pages.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "kernel/abi/pagemap.h"
#include "memory/copy.h"
#include "memory/test_steps.h"
#include "memory/test_target.h"
#include "memory/tracker.h"
#include "memory/write_guide.h"

namespace perdure::memory {
namespace {

using Gate = Target::Gate;
using Contents = std::map<uint64_t, std::vector<uint8_t>>;

class Held : public testing::Test {
 protected:
  void SetUp() override {
    features_ = probe_tracker_features("");
    features_.guided_pages_min = 0;
    if (best_tracker(features_) != TrackerKind::kPagemapScan) GTEST_SKIP() << "no pagemap_scan";
    if (guide_.get() == nullptr) GTEST_SKIP() << "no write_guide";
  }
  void track(Target& target, uint64_t room = kHeldPagesMax) {
    target_ = &target;
    start_ = target.receive();
    stored_.clear();
    tracker_ = Tracker::create(TrackerKind::kPagemapScan, target.pid(), target.take_uffd(),
                               features_, &guide_)
                   .value();
    PD_ASSERT(tracker_->scan(areas(), Mode::kPrecopy).ok());
    copy_now(tracker_->scan(areas(), Mode::kCut).value().data);
    PD_ASSERT(tracker_->scan(areas(), Mode::kPrecopy).ok());  // now the guide is asked
    if (room > 0) tracker_->make_room_to_hold(room);
    copy_now(tracker_->scan(areas(), Mode::kCut).value().data);
  }
  std::vector<Area> areas() const { return target_->areas(start_, start_ + kBlocks * kBlock); }

  void pass(Mode mode) {
    const Scan scan = tracker_->scan(areas(), mode).value();
    if (mode == Mode::kPrecopy) tracker_->give_back(try_to_copy(scan.data));
  }
  // The process stands still: what it holds is what copy_rest() is to find, all but what is copied
  // here at once.
  void cut(bool holds = true) {
    const Scan scan = tracker_->scan(areas(), Mode::kCut).value();
    for (const PageRun& run : scan.absent.runs()) {
      for (uint64_t page = run.first; page < run.end(); ++page) stored_.erase(page);
    }
    const PageSet held = holds ? tracker_->hold(scan.data) : PageSet();
    held_pages_ += held.pages();
    copy_now(scan.data.without(held));
    guard_ = scan.guard;
    truth_.clear();
    const Fd mem = kernel::open_proc_file(target_->pid(), "mem", O_RDONLY).value();
    const Fd pagemap = kernel::open_proc_file(target_->pid(), "pagemap", O_RDONLY).value();
    std::vector<uint8_t> bytes(kPageSize);
    for (const Area& area : areas()) {
      for (uint64_t at = area.start; at < area.end; at += kPageSize) {
        if (!is_there(pagemap, at >> kPageShift)) continue;
        if (!kernel::read_process_mem(mem, RemoteAddr(at), bytes).ok()) continue;
        const bool zeros =
            std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
        if (!zeros) truth_[at >> kPageShift] = bytes;
      }
    }
  }
  // Some kernels give a page of its own to who reads one that is not there, even from outside.
  static bool is_there(const Fd& pagemap, uint64_t page) {
    uint64_t entry = 0;
    PD_ASSERT(kernel::read_pagemap(pagemap, page, {&entry, 1}).ok());
    return (entry & (kernel::abi::kEntryPresent | kernel::abi::kEntrySwapped)) != 0;
  }
  void pass_on_hot() {
    if (!tracker_->hot().empty()) ++hot_cuts_;
    const auto sink = [this](uint64_t first, Bytes bytes) { return put(first, bytes); };
    ASSERT_TRUE(tracker_->pass_on_hot(sink).ok());
    tracker_->learn(1024);
  }
  // The process runs. Returns how many pages are lost.
  uint64_t copy_rest() {
    Result<PageSet> lost = tracker_->copy_held(
        copier_, [this](uint64_t first, Bytes bytes) { return put(first, bytes); }, Access::kGentle,
        {});
    PD_ASSERT(lost.ok());
    tracker_->give_back(*lost);
    lost_pages_ += lost->pages();
    for (const PageRun& run : lost->runs()) {
      for (uint64_t page = run.first; page < run.end(); ++page) {
        stored_.erase(page);
        truth_.erase(page);
      }
    }
    return lost->pages();
  }
  void expect_truth() const {
    for (const auto& [page, bytes] : truth_) {
      auto stored = stored_.find(page);
      ASSERT_TRUE(stored != stored_.end()) << std::hex << page << " is missing";
      ASSERT_TRUE(stored->second == bytes) << std::hex << page << " is not as it was";
    }
    for (const auto& [page, bytes] : stored_) {
      ASSERT_TRUE(truth_.contains(page)) << std::hex << page << " is invented";
    }
  }

  Status put(uint64_t first, Bytes bytes) {
    for (size_t at = 0; at < bytes.size(); at += kPageSize) {
      const Bytes page = bytes.subspan(at, kPageSize);
      const uint64_t number = first + at / kPageSize;
      if (std::all_of(page.begin(), page.end(), [](uint8_t b) { return b == 0; })) {
        stored_.erase(number);
      } else {
        stored_[number].assign(page.begin(), page.end());
      }
    }
    return {};
  }
  PageSet try_to_copy(const PageSet& pages) {
    const auto sink = [this](uint64_t first, Bytes bytes) { return put(first, bytes); };
    return copier_.copy(target_->pid(), pages, sink).value();
  }
  void copy_now(const PageSet& pages) { EXPECT_TRUE(try_to_copy(pages).empty()); }

  TrackerFeatures features_;
  LazyGuide guide_{LazyGuide::Use::kAllowed};
  Target* target_ = nullptr;
  std::unique_ptr<Tracker> tracker_;
  Copier copier_ = Copier::create().value();
  uint64_t start_ = 0;
  PageSet guard_;
  Contents stored_, truth_;
  uint64_t held_pages_ = 0, lost_pages_ = 0, hot_cuts_ = 0;
};

TEST_F(Held, PagesThatAreWrittenBeforeTheyAreCopiedAreAsTheyWere) {
  constexpr size_t kPages = 300;
  Target target([](Gate& gate) {
    uint8_t* arena = map_arena();
    madvise(arena, kBlocks * kBlock, MADV_NOHUGEPAGE);
    gate.meet(reinterpret_cast<uint64_t>(arena));
    for (uint8_t round = 1;; ++round) {
      for (size_t page = 0; page < kPages; ++page) {
        memset(arena + page * 7 * kPageSize, round, kPageSize);
      }
      gate.meet();
    }
  });
  track(target);
  for (int round = 0; round < 4; ++round) {
    target.step();
    cut();
    if (round % 2 == 0) target.step();  // all are written before any is copied
    copy_rest();
    expect_truth();
  }
  EXPECT_EQ(held_pages_, 3 * kPages);  // in the first round they are new
  EXPECT_EQ(lost_pages_, 0u);
}

TEST_F(Held, WithoutRoomNothingIsHeld) {
  Target target([](Gate& gate) {
    uint8_t* arena = map_arena();
    gate.meet(reinterpret_cast<uint64_t>(arena));
    while (true) {
      arena[0] += 1;
      arena[kBlock] += 1;
      gate.meet();
    }
  });
  track(target, 0);
  target.step();
  cut();
  EXPECT_EQ(held_pages_, 0u);
  copy_rest();
  expect_truth();
}

// Writers of the same pages at the same time, some in the kernel: who comes second to a page must
// not write before the first has its copy.
TEST_F(Held, WritersOfTheSamePagesTearNothing) {
  constexpr size_t kPages = 64, kThreads = 3;
  Target target([](Gate& gate) {
    uint8_t* arena = map_arena();
    madvise(arena, kBlocks * kBlock, MADV_NOHUGEPAGE);
    memset(arena, 1, kPages * kPageSize);
    const Fd zero = Fd::adopt(open("/dev/zero", O_RDONLY | O_CLOEXEC));
    gate.meet(reinterpret_cast<uint64_t>(arena));
    while (true) {
      std::atomic<bool> stop = false;
      std::vector<std::jthread> writers;
      for (size_t number = 0; number < kThreads; ++number) {
        writers.emplace_back([&, number] {
          std::minstd_rand random(static_cast<unsigned>(number + 1));
          while (!stop) {
            uint8_t* at = arena + random() % kPages * kPageSize + random() % 4000;
            if (number == 0) (void)!::read(zero.get(), at, 16);
            memset(at, static_cast<int>(random()), 64);
          }
        });
      }
      gate.meet();
      stop = true;
      writers.clear();
      gate.meet();
    }
  });
  track(target);
  for (int round = 0; round < 200 && !HasFailure(); ++round) {
    target.step();
    if (round % 4 == 0) PD_ASSERT(tracker_->scan(areas(), Mode::kAhead).ok());
    target.step();
    cut();
    target.go();
    if (round % 2 == 0) sched_yield();
    copy_rest();
    expect_truth();
    target.receive();
    target.step();
  }
  EXPECT_GT(held_pages_, 1000u);
  EXPECT_LT(lost_pages_, held_pages_ / 10);
}

TEST_F(Held, RandomChangesWhileItIsCopiedLoseNothingSilently) {
  const Fd zero = Fd::adopt(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  const Fd direct = direct_file();
  const Files files{zero.get(), direct.get()};
  std::random_device device;
  for (unsigned seed : {1u, 2u, 3u, device()}) {
    Target target([&](Gate& gate) { change_at_random(gate, seed, files, 2); });
    track(target);
    std::mt19937 random(seed + 100);
    for (int count = steps_wanted(); count > 0 && !HasFailure(); --count) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", steps left " << count);
      target.step();
      if (random() % 2 == 0) PD_ASSERT(tracker_->scan(areas(), Mode::kAhead).ok());
      if (random() % 2 == 0) target.step();
      cut();
      const int when = static_cast<int>(random() % 3);
      if (when > 0) target.go();
      if (when == 2) target.receive();
      if (random() % 8 == 0) step_outside(random, target.pid(), start_);
      copy_rest();
      expect_truth();
      if (when == 1) target.receive();
    }
  }
  EXPECT_GT(held_pages_, 0u);
  EXPECT_LT(lost_pages_, held_pages_ / 2);
}

// As checkpoints go: all kinds of passes, and after a loss a cut of a later moment.
TEST_F(Held, RandomChangesAmongHotPagesAreFollowedExactly) {
  features_.hot_pages_max = 1024;
  features_.hot_fault_ns_min = 0;
  const Fd zero = Fd::adopt(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  const Fd direct = direct_file();
  const Files files{zero.get(), direct.get()};
  std::random_device device;
  for (unsigned seed : {1u, 2u, 3u, device()}) {
    Target target([&](Gate& gate) { change_at_random(gate, seed, files, 2, true); });
    track(target);
    tracker_->read_hot_by(seed % 2 == 0 ? Access::kGentle : Access::kFast);
    std::mt19937 random(seed + 100);
    for (int count = steps_wanted(); count > 0 && !HasFailure(); --count) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", steps left " << count);
      target.step();
      if (random() % 2 == 0) pass(random() % 2 == 0 ? Mode::kPrecopy : Mode::kAhead);
      if (random() % 2 == 0) target.step();
      cut();
      const bool goes_on = random() % 3 > 0;
      if (goes_on) target.go();
      if (random() % 8 == 0) step_outside(random, target.pid(), start_);
      const uint64_t lost = copy_rest();
      if (lost == 0) pass_on_hot();
      if (lost == 0) expect_truth();
      if (goes_on) target.receive();
      if (lost == 0) continue;
      cut(false);
      pass_on_hot();
      expect_truth();
    }
  }
  EXPECT_GT(held_pages_, 0u);
  EXPECT_GT(hot_cuts_, 50u);
}

}  // namespace
}  // namespace perdure::memory
