#include "cli/epoch_timing.h"

#include <gtest/gtest.h>

namespace perdure::cli {
namespace {

class EpochTimingTest : public testing::Test {
 protected:
  TimingTable table(const std::vector<std::string>& notes) {
    infos_.resize(notes.size());
    std::vector<EpochRow> rows;
    for (size_t at = 0; at < notes.size(); ++at) {
      infos_[at].note = notes[at];
      rows.push_back({&infos_[at], 0, false, 0});
    }
    return timing_of(rows);
  }
  std::vector<store::EpochInfo> infos_;
};

TEST_F(EpochTimingTest, PartsStandSideBySideWhereverTheyOccur) {
  TimingTable found = table({R"({"stop_us":90,"timing":{"stop":10,"memory":20}})", "",
                             R"({"stop_us":70,"timing":{"memory":5,"files":7,"bad":"x"}})"});
  EXPECT_EQ(found.parts, (std::vector<std::string>{"stop_us", "stop", "memory", "files"}));
  using Row = std::vector<std::optional<uint64_t>>;
  EXPECT_EQ(found.rows[0], (Row{90, 10, 20, {}}));
  EXPECT_EQ(found.rows[1], (Row{{}, {}, {}, {}}));
  EXPECT_EQ(found.rows[2], (Row{70, {}, 5, 7}));
}

TEST_F(EpochTimingTest, PercentilesAreValuesThatOccurred) {
  std::vector<std::string> notes;
  for (int us = 100; us >= 1; --us) notes.push_back("{\"stop_us\":" + std::to_string(us) + "}");
  notes.push_back("{}");
  TimingTable found = table(notes);
  EXPECT_EQ(found.percentile(kWholeWindow, 0.5), 50u);
  EXPECT_EQ(found.percentile(kWholeWindow, 0.99), 99u);
  EXPECT_EQ(found.percentile(kWholeWindow, 1), 100u);
  EXPECT_EQ(found.percentile(kWholeWindow, 0), 1u);
}

TEST_F(EpochTimingTest, WithoutValuesThereIsNoPercentile) {
  EXPECT_EQ(table({"{}"}).percentile(kWholeWindow, 0.5), std::nullopt);
  EXPECT_EQ(table({}).percentile(kWholeWindow, 0.5), std::nullopt);
}

}  // namespace
}  // namespace perdure::cli
