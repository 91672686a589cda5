#include "memory/pager.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "kernel/uffd_copy.h"
#include "memory/test_target.h"

namespace perdure::memory {
namespace {

constexpr uint64_t kPages = 600;

uint64_t value_of(uint64_t page) { return page * 0x9e3779b97f4a7c15 + 1; }

class Saved final : public PageSource {
 public:
  explicit Saved(uint64_t bad_page = 0) : bad_page_(bad_page) {}
  Status stream(uint64_t first_page, MutableBytes out) override {
    const uint64_t end = first_page + out.size() / kPageSize;
    if (first_page < start && start < end) ++crossings;
    return read(first_page, out);
  }
  Status read(uint64_t first_page, MutableBytes out) override {
    for (uint64_t at = 0; at < out.size() / kPageSize; ++at) {
      const uint64_t page = first_page + at, value = value_of(page);
      if (page == bad_page_) return Error(Code::kCorrupt, "segment-1 at 4096: fails its checksum");
      std::memset(out.data() + at * kPageSize, 0, kPageSize);
      std::memcpy(out.data() + at * kPageSize, &value, sizeof(value));
    }
    return {};
  }

  uint64_t start = 0;  // no block goes beyond
  std::atomic<int> crossings = 0;

 private:
  uint64_t bad_page_;
};

// A child with a mapping whose even pages were saved, and a pager that brings them.
class PagerTest : public ::testing::Test {
 protected:
  using Body = std::function<void(Target::Gate&, const volatile uint8_t*)>;

  void begin(const Body& body, uint64_t delay_ms, bool kept = false, uint64_t bad = kPages) {
    memory_ = static_cast<uint8_t*>(mmap(nullptr, kPages * kPageSize, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    target_ = std::make_unique<Target>([&](Target::Gate& gate) {
      gate.meet();
      body(gate, memory_);
    });
    Pager::Space space;
    space.uffd = target_->take_uffd();
    ASSERT_TRUE(kernel::enable_uffd_serving(space.uffd).ok());
    (void)target_->receive();
    const auto address = reinterpret_cast<uint64_t>(memory_);
    ASSERT_TRUE(
        kernel::register_uffd_missing(space.uffd, RemoteAddr(address), kPages * kPageSize).ok());
    first_ = address >> kPageShift;
    for (uint64_t page = 0; page<kPages; page += start_> 0 ? 1 : 2)
      space.pages.add({first_ + page, 1});
    if (hot_pages_ > 0) space.hot.add({first_, hot_pages_});
    source_ = std::make_shared<Saved>(bad < kPages ? first_ + bad : 0);
    if (start_ > 0) space.starts = {first_ + 3, source_->start = first_ + start_};
    space.source = source_;
    Pager::Options options;
    options.fill_delay_ms = delay_ms;
    if (kept) {  // made here, so that the child has no copy
      int ends[2];
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
      keeper_ = Fd::adopt(ends[0]);
      options.keeper = Fd::adopt(ends[1]);
    }
    std::vector<Pager::Space> spaces;
    spaces.push_back(std::move(space));
    pager_ =
        Pager::create(std::move(spaces), ReadAhead::create().value(), std::move(options), &left_)
            .value();
    thread_ = std::thread([this] { ended_ = pager_->run(); });
    if (fills_) pager_->begin_fill();
  }

  Status end() {
    thread_.join();
    munmap(memory_, kPages * kPageSize);
    return std::move(ended_);
  }

  // In the child: 0, or the first page of [from, to) that is wrong, plus one.
  static uint64_t wrong_page(const volatile uint8_t* memory, uint64_t from, uint64_t to,
                             uint64_t shift = 0) {
    const uint64_t first = (reinterpret_cast<uint64_t>(memory) >> kPageShift) - shift;
    for (uint64_t page = from; page < to; ++page) {
      uint64_t value;
      std::memcpy(&value, const_cast<const uint8_t*>(memory) + page * kPageSize, sizeof(value));
      if (value != (page % 2 == 0 ? value_of(first + page) : 0)) return page + 1;
    }
    return 0;
  }

  uint8_t* memory_ = nullptr;
  uint64_t first_ = 0;
  std::shared_ptr<Saved> source_;
  uint64_t hot_pages_ = 0, start_ = 0;
  bool fills_ = true;
  Fd keeper_;
  std::unique_ptr<Target> target_;
  std::unique_ptr<Pager> pager_;
  std::atomic<uint64_t> left_ = 0;
  std::thread thread_;
  Status ended_;
};

constexpr uint64_t kNever = 1'000'000;

TEST_F(PagerTest, BringsEverythingWithoutATouch) {
  begin([](Target::Gate& gate,
           const volatile uint8_t* memory) { gate.meet(wrong_page(memory, 0, kPages)); },
        0);
  thread_.join();
  EXPECT_EQ(left_, 0u);
  pager_->with_descriptors([](const std::vector<int>& open) { EXPECT_TRUE(open.empty()); });
  EXPECT_EQ(target_->step(), 0u);
  thread_ = std::thread([] {});
  EXPECT_TRUE(end().ok());
}

TEST_F(PagerTest, WaitsForItsTimeWithoutTakingTheProcessor) {
  begin([](Target::Gate& gate,
           const volatile uint8_t* memory) { gate.meet(wrong_page(memory, 0, kPages)); },
        300);
  const clock_t before = clock();
  usleep(250'000);
  EXPECT_LT(clock() - before, CLOCKS_PER_SEC / 100);
  thread_.join();
  EXPECT_EQ(target_->step(), 0u);
  thread_ = std::thread([] {});
  EXPECT_TRUE(end().ok());
}

TEST_F(PagerTest, BringsWhatIsHotBeforeItIsToldToFill) {
  hot_pages_ = 400;
  fills_ = false;
  begin([](Target::Gate& gate,
           const volatile uint8_t* memory) { gate.meet(wrong_page(memory, 0, kPages)); },
        0);
  const uint64_t rest = (kPages - hot_pages_) / 2;
  for (int look = 0; look < 5000 && left_ > rest; ++look) usleep(1000);
  usleep(20'000);
  EXPECT_EQ(left_, rest);
  pager_->begin_fill();
  EXPECT_EQ(target_->step(), 0u);
  EXPECT_TRUE(end().ok());
}

TEST_F(PagerTest, ReadsNoBlockBeyondAStart) {
  start_ = 130;
  begin(
      [](Target::Gate& gate, const volatile uint8_t* memory) {
        const uint64_t first = reinterpret_cast<uint64_t>(memory) >> kPageShift;
        uint64_t wrong = 0;
        for (uint64_t page = 0; page < kPages; ++page) {
          const auto* at = reinterpret_cast<const volatile uint64_t*>(memory + page * kPageSize);
          wrong += *at != value_of(first + page) ? 1 : 0;
        }
        gate.meet(wrong);
      },
      0);
  thread_.join();
  EXPECT_EQ(source_->crossings, 0);
  EXPECT_EQ(target_->step(), 0u);
  thread_ = std::thread([] {});
  EXPECT_TRUE(end().ok());
}

TEST_F(PagerTest, BringsWhatIsTouchedAndNoMoreThanAUnit) {
  begin(
      [](Target::Gate& gate, const volatile uint8_t* memory) {
        gate.meet(wrong_page(memory, 100, 103));
        gate.meet(wrong_page(memory, 0, kPages));
      },
      kNever);
  EXPECT_EQ(target_->step(), 0u);
  EXPECT_GE(left_, kPages / 2 - 32);
  EXPECT_EQ(target_->step(), 0u);
  EXPECT_EQ(end().ok(), true);
}

TEST_F(PagerTest, WhatWasDroppedOrUnmappedStaysEmpty) {
  begin(
      [](Target::Gate& gate, const volatile uint8_t* memory) {
        auto* at = const_cast<uint8_t*>(memory);
        madvise(at + 100 * kPageSize, 50 * kPageSize, MADV_DONTNEED);
        munmap(at + 200 * kPageSize, 10 * kPageSize);
        (void)mmap(at + 200 * kPageSize, 10 * kPageSize, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        uint64_t wrong = wrong_page(memory, 0, 100) + wrong_page(memory, 150, 200) +
                         wrong_page(memory, 210, kPages);
        for (uint64_t page = 100; page < 150; ++page) wrong += at[page * kPageSize];
        for (uint64_t page = 200; page < 210; ++page) wrong += at[page * kPageSize];
        gate.meet(wrong);
      },
      2);
  EXPECT_EQ(target_->step(), 0u);
  EXPECT_TRUE(end().ok());
}

TEST_F(PagerTest, FollowsPagesThatMove) {
  begin(
      [](Target::Gate& gate, const volatile uint8_t* memory) {
        auto* at = const_cast<uint8_t*>(memory);
        auto* there = static_cast<uint8_t*>(
            mmap(nullptr, 100 * kPageSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        mremap(at + 40 * kPageSize, 50 * kPageSize, 60 * kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED,
               there);
        const uint64_t shift = ((there - at) >> kPageShift) - 40;
        uint64_t wrong = wrong_page(there, 0, 50, shift) + wrong_page(memory, 0, 40) +
                         wrong_page(memory, 90, kPages);
        for (uint64_t page = 50; page < 60; ++page) wrong += there[page * kPageSize];
        gate.meet(wrong);
      },
      kNever);
  EXPECT_EQ(target_->step(), 0u);
  EXPECT_TRUE(end().ok());
}

TEST_F(PagerTest, ServesTheChildOfAFork) {
  begin(
      [](Target::Gate& gate, const volatile uint8_t* memory) {
        const pid_t child = fork();
        if (child == 0) _exit(wrong_page(memory, 0, kPages) == 0 ? 0 : 1);
        int status = -1;
        waitpid(child, &status, 0);
        gate.meet(static_cast<uint64_t>(status) + wrong_page(memory, 0, kPages));
      },
      5);
  EXPECT_EQ(target_->step(), 0u);
  EXPECT_TRUE(end().ok());
}

TEST_F(PagerTest, ADamagedPageIsNeverPlaced) {
  begin(
      [](Target::Gate& gate, const volatile uint8_t* memory) {
        gate.meet(wrong_page(memory, 0, 100));
        gate.meet(wrong_page(memory, 300, 303));
      },
      kNever, false, 302);
  EXPECT_EQ(target_->step(), 0u);
  target_->go();
  Status ended = end();
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().code(), Code::kCorrupt);
  EXPECT_NE(ended.error().message().find("segment-1 at 4096"), std::string::npos);
  EXPECT_GT(left_, 0u);  // it did not go on
}

TEST_F(PagerTest, ServesUntilTheKeeperOfCopiesLetsGo) {
  begin(
      [](Target::Gate& gate, const volatile uint8_t* memory) {
        gate.meet(wrong_page(memory, 0, kPages));
        auto* at = const_cast<uint8_t*>(memory);
        madvise(at, 10 * kPageSize, MADV_DONTNEED);  // waits for the pager
        gate.meet(at[0]);
      },
      0, true);
  EXPECT_EQ(target_->step(), 0u);
  EXPECT_EQ(left_, 0u);
  EXPECT_EQ(target_->step(), 0u);
  keeper_.reset();
  EXPECT_TRUE(end().ok());
}

TEST_F(PagerTest, EndsWithItsProcess) {
  begin([](Target::Gate& gate, const volatile uint8_t*) { gate.meet(); }, 50);
  target_.reset();
  EXPECT_TRUE(end().ok());
}

}  // namespace
}  // namespace perdure::memory
