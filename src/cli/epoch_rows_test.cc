#include "cli/epoch_rows.h"

#include <gtest/gtest.h>

namespace perdure::cli {
namespace {

constexpr uint64_t kMs = 1'000'000;

class EpochRowsTest : public testing::Test {
 protected:
  void add(uint64_t number, uint64_t parent, uint64_t captured_ms) {
    store::EpochInfo info;
    info.epoch = Epoch(number);
    info.parent = Epoch(parent);
    info.captured_realtime_ns = captured_ms * kMs;
    epochs_.push_back(info);
  }
  // "5<2:1" is epoch 5 after 2 with 1 hidden between; "~" stands for a gap.
  std::string rows(const RowChoice& choice) {
    std::string text;
    for (const EpochRow& row : choose_rows(epochs_, choice)) {
      if (!text.empty()) text += " ";
      text += std::to_string(row.info->epoch.value) + (row.gap ? "~" : "<") +
              std::to_string(row.parent);
      if (row.hidden > 0) text += ":" + std::to_string(row.hidden);
    }
    return text;
  }

  std::vector<store::EpochInfo> epochs_;
};

TEST_F(EpochRowsTest, AllAreShownByDefault) {
  for (uint64_t at = 1; at <= 3; ++at) add(at, at - 1, at);
  EXPECT_EQ(rows({}), "1<0 2<1 3<2");
}

TEST_F(EpochRowsTest, ThinningKeepsTheLastOfEachIntervalAndTheEnds) {
  for (uint64_t at = 1; at <= 30; ++at) add(at, at - 1, 1000 + at * 10);
  EXPECT_EQ(rows({{}, 0, 100 * kMs}), "1<0 9~1:7 19~9:9 29~19:9 30<29");
}

TEST_F(EpochRowsTest, ThinningKeepsBranchPointsAndTips) {
  for (uint64_t at = 1; at <= 6; ++at) add(at, at - 1, at);
  add(7, 3, 7);
  add(8, 7, 8);
  EXPECT_EQ(rows({{}, 0, 1000 * kMs}), "1<0 3~1:1 6~3:2 8~3:1");
}

TEST_F(EpochRowsTest, TheNewestRowsAreTaken) {
  for (uint64_t at = 1; at <= 9; ++at) add(at, at - 1, at);
  EXPECT_EQ(rows({2, 0, 0}), "8<7 9<8");
  EXPECT_EQ(rows({99, 8 * kMs, 0}), "8<7 9<8");
}

TEST_F(EpochRowsTest, SinceCutsOlderOnes) {
  for (uint64_t at = 1; at <= 9; ++at) add(at, at - 1, at);
  EXPECT_EQ(rows({{}, 8 * kMs, 0}), "8<7 9<8");
  EXPECT_EQ(rows({{}, 10 * kMs, 0}), "");
}

TEST_F(EpochRowsTest, ADroppedParentIsStoodInForByTheOneBefore) {
  add(2, 1, 2);
  add(10, 9, 10);
  add(20, 19, 20);
  add(21, 10, 21);
  EXPECT_EQ(rows({}), "2<0 10~2 20~10 21<10");
}

TEST_F(EpochRowsTest, ThinningFollowsTheNumberOfEpochs) {
  for (uint64_t at = 1; at <= 3000; ++at) add(at, at - 1, at * 10);
  EXPECT_EQ(thinning_for(epochs_, 0, 3000), 0u);
  EXPECT_EQ(thinning_for(epochs_, 0, 400), 100 * kMs);
  EXPECT_EQ(thinning_for(epochs_, 0, 200), 1000 * kMs);
  EXPECT_EQ(thinning_for(epochs_, 0, 1), 86'400'000 * kMs);
}

}  // namespace
}  // namespace perdure::cli
