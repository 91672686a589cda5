#include "cli/epoch_choice.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

namespace perdure::cli {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kNoon = 1784030400 * kSecond;  // 2026-07-14 12:00:00 UTC

class EpochChoiceTest : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "UTC0", 1);
    ::tzset();
    for (uint64_t number = 4; number <= 8; ++number) add(number, kNoon + number * kSecond);
  }
  void TearDown() override {
    ::unsetenv("TZ");
    ::tzset();
  }
  void add(uint64_t number, uint64_t captured_ns) {
    store::EpochInfo info;
    info.epoch = Epoch(number);
    info.captured_realtime_ns = captured_ns;
    epochs_.push_back(info);
  }
  Result<Epoch> at(const char* text) {
    return choose_epoch(epochs_, {{}, parse_moment(text), {}}, kNoon + 60 * kSecond, "g");
  }
  Result<Epoch> back(uint64_t ns) { return choose_epoch(epochs_, {{}, {}, ns}, kNoon, "g"); }
  Result<Epoch> number(uint64_t value) {
    return choose_epoch(epochs_, {Epoch(value), {}, {}}, kNoon, "g");
  }

  std::vector<store::EpochInfo> epochs_;
};

TEST_F(EpochChoiceTest, AtTakesTheNewestCapturedAtOrBeforeIt) {
  EXPECT_EQ(at("12:00:06").value(), Epoch(6));
  EXPECT_EQ(at("12:00:06.999").value(), Epoch(6));
  EXPECT_EQ(at("12:00:59").value(), Epoch(8));
  EXPECT_EQ(at("2026-07-14 12:00:04").value(), Epoch(4));
  EXPECT_EQ(at("2030-01-01 00:00").value(), Epoch(8));
}

TEST_F(EpochChoiceTest, BackCountsFromTheNewest) {
  EXPECT_EQ(back(0).value(), Epoch(8));
  EXPECT_EQ(back(1).value(), Epoch(7));
  EXPECT_EQ(back(3 * kSecond).value(), Epoch(5));
}

TEST_F(EpochChoiceTest, WhatIsTooLongAgoIsToldWithWhatThereIs) {
  for (Result<Epoch>& chosen :
       std::array{at("12:00:03.999"), back(5 * kSecond), back(~uint64_t{0})}) {
    ASSERT_FALSE(chosen.ok());
    EXPECT_EQ(chosen.error().code(), Code::kNotFound);
    const std::string& text = chosen.error().message();
    EXPECT_NE(text.find("5 epochs"), std::string::npos) << text;
    EXPECT_NE(text.find("12:00:04.000 (epoch 4)"), std::string::npos) << text;
    EXPECT_NE(text.find("12:00:08.000 (epoch 8)"), std::string::npos) << text;
  }
}

TEST_F(EpochChoiceTest, ASetBackClockDoesNotHideOlderNumbers) {
  add(9, kNoon + 5 * kSecond + 1);
  EXPECT_EQ(at("12:00:05").value(), Epoch(5));
  EXPECT_EQ(at("12:00:05.5").value(), Epoch(9));
  EXPECT_EQ(at("12:00:30").value(), Epoch(8));
  EXPECT_EQ(back(kSecond).value(), Epoch(4));
}

TEST_F(EpochChoiceTest, OfEqualTimesTheLaterNumberIsTaken) {
  add(9, kNoon + 8 * kSecond);
  EXPECT_EQ(at("12:00:08").value(), Epoch(9));
}

TEST_F(EpochChoiceTest, NumbersMustExist) {
  EXPECT_EQ(number(0).value(), Epoch(8));
  EXPECT_EQ(number(6).value(), Epoch(6));
  auto missing = number(3);
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message().find("from 4 to 8"), std::string::npos);
}

TEST_F(EpochChoiceTest, AGroupWithoutEpochsSaysSo) {
  epochs_.clear();
  for (const auto& chosen : std::array{number(0), number(1), back(1)}) {
    ASSERT_FALSE(chosen.ok());
    EXPECT_NE(chosen.error().message().find("no epoch yet"), std::string::npos);
  }
}

}  // namespace
}  // namespace perdure::cli
