#include "memory/hot_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <map>

namespace perdure::memory {
namespace {

constexpr size_t kPages = 64;

// Pages of this process stand for those of a stopped one.
class HotPagesTest : public testing::TestWithParam<Access> {
 protected:
  void SetUp() override {
    void* map = mmap(nullptr, kPages * kPageSize, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(map, MAP_FAILED);
    memory_ = static_cast<uint8_t*>(map);
    memset(memory_, 1, kPages * kPageSize);
    first_ = reinterpret_cast<uint64_t>(map) >> kPageShift;
    all_.add(PageRun{first_, kPages});
  }
  void TearDown() override { munmap(memory_, kPages * kPageSize); }
  uint64_t page(size_t number) const { return first_ + number; }
  PageSet pages(std::initializer_list<size_t> numbers) const {
    PageSet set;
    for (const size_t number : numbers) set.add(PageRun{page(number), 1});
    return set;
  }
  void write(size_t number) { ++memory_[number * kPageSize + 77]; }
  // One epoch; returns the first byte of each page that was passed on.
  std::map<uint64_t, uint8_t> epoch(const PageSet& written) {
    std::map<uint64_t, uint8_t> passed_on;
    EXPECT_TRUE(hot_.read(getpid(), all_, access_).ok());
    EXPECT_TRUE(
        hot_.pass_on([&](uint64_t first, Bytes bytes) -> Status {
              for (size_t at = 0; at < bytes.size(); at += kPageSize) {
                EXPECT_EQ(
                    memcmp(&bytes[at], memory_ + (first - first_) * kPageSize + at, kPageSize), 0);
                passed_on[first - first_ + at / kPageSize] = bytes[at];
              }
              return {};
            })
            .ok());
    hot_.learn(written, more_max_);
    return passed_on;
  }
  void warm(const PageSet& written) {
    for (int count = 0; count < 6; ++count) epoch(written);
  }

  uint8_t* memory_ = nullptr;
  uint64_t first_ = 0;
  PageSet all_;
  HotPages hot_{8};
  uint64_t more_max_ = 8;
  const Access access_ = GetParam();
};

INSTANTIATE_TEST_SUITE_P(, HotPagesTest, testing::Values(Access::kFast, Access::kGentle));

TEST_P(HotPagesTest, WhatIsWrittenInMostEpochsIsHotAndOnlyChangesArePassedOn) {
  for (int count = 0; count < 5; ++count) epoch(pages({3, 4, 9}));
  EXPECT_TRUE(hot_.pages().empty());
  epoch(pages({3, 9}));
  EXPECT_EQ(hot_.pages(), pages({3, 9}));
  EXPECT_EQ(epoch({}).size(), 2u);  // nobody knows what was passed on of them before
  write(9);
  EXPECT_EQ(epoch({}), (std::map<uint64_t, uint8_t>{{9, 1}}));
  EXPECT_TRUE(epoch({}).empty());
  epoch(pages({4}));  // the sixth of the last eight
  EXPECT_EQ(hot_.pages(), pages({3, 9}));
}

TEST_P(HotPagesTest, WhatDoesNotChangeForLongHasToBeLookedAtAgain) {
  warm(pages({3, 4}));
  for (int count = 0; count < 8; ++count) {
    EXPECT_TRUE(hot_.left().empty());
    write(4);
    epoch({});
    if (!hot_.left().empty()) break;
  }
  EXPECT_EQ(hot_.pages(), pages({4}));
  EXPECT_EQ(hot_.left(), pages({3}));
  hot_.forget_left();
  write(4);
  EXPECT_EQ(epoch({}).size(), 1u);  // what was copied before is still known
  EXPECT_TRUE(epoch({}).empty());
}

TEST_P(HotPagesTest, WhatIsNotThereAnyMoreIsDropped) {
  warm(pages({3, 4, 5}));
  all_ = all_.without(pages({4}));
  epoch({});
  EXPECT_EQ(hot_.pages(), pages({3, 5}));
  EXPECT_EQ(hot_.left(), pages({4}));
  munmap(memory_ + 5 * kPageSize, kPageSize);
  EXPECT_TRUE(epoch({}).empty());
  EXPECT_TRUE(hot_.pages().empty());
  EXPECT_EQ(hot_.left(), pages({3, 4, 5}));
}

TEST_P(HotPagesTest, NoMoreThanAllowedAndNoneInACrowd) {
  PageSet ten, crowd;
  ten.add(PageRun{first_, 10});
  crowd.add(PageRun{first_, 17});
  warm(ten);
  EXPECT_EQ(hot_.pages().pages(), 8u);
  more_max_ = 0;  // other processes of the group have the rest
  epoch(ten);
  EXPECT_EQ(hot_.pages().pages(), 8u);
  for (int count = 0; count < 4; ++count) epoch(crowd);
  EXPECT_TRUE(hot_.pages().empty());
  warm(crowd);
  EXPECT_TRUE(hot_.pages().empty());
}

TEST_P(HotPagesTest, NoMoreThanOtherProcessesLeave) {
  more_max_ = 0;
  warm(pages({3, 4}));
  EXPECT_TRUE(hot_.pages().empty());
  more_max_ = 1;
  epoch(pages({3, 4}));
  EXPECT_EQ(hot_.pages(), pages({3}));
  more_max_ = 0;
  write(3);
  EXPECT_EQ(epoch(pages({4})).size(), 1u);
  EXPECT_EQ(hot_.pages(), pages({3}));
}

TEST_P(HotPagesTest, AProcessThatEndedIsGone) {
  warm(pages({3}));
  EXPECT_EQ(hot_.read(0x3fffffff, all_, access_).error().code(), Code::kGone);
}

}  // namespace
}  // namespace perdure::memory
