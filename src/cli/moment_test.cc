#include "cli/moment.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

namespace perdure::cli {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
// 2026-07-14 12:00:00 UTC, which is 14:00:00 in Berlin's summer.
constexpr uint64_t kNow = 1784030400 * kSecond;

class MomentTest : public testing::Test {
 protected:
  void SetUp() override { zone("UTC0"); }
  void TearDown() override {
    ::unsetenv("TZ");
    ::tzset();
  }
  static void zone(const char* name) {
    ::setenv("TZ", name, 1);
    ::tzset();
  }
  static uint64_t at(const std::string& text) {
    auto moment = parse_moment(text);
    EXPECT_TRUE(moment.has_value()) << text;
    auto found = realtime_of(moment.value_or(Moment{}), kNow);
    EXPECT_TRUE(found.ok()) << found.error().message();
    return found.ok() ? *found : 0;
  }
};

TEST_F(MomentTest, ATimeOfDayIsToday) {
  EXPECT_EQ(at("12:00"), kNow);
  EXPECT_EQ(at("11:59:59"), kNow - kSecond);
  EXPECT_EQ(at("11:59:59.250"), kNow - kSecond + 250'000'000);
  EXPECT_EQ(at("11:59:59.9999999999"), kNow - 1);
}

TEST_F(MomentTest, ADateMayComeBeforeIt) {
  EXPECT_EQ(at("2026-07-13 12:00:00"), kNow - 86400 * kSecond);
  EXPECT_EQ(at("2026-07-13T12:00"), kNow - 86400 * kSecond);
  EXPECT_EQ(at("2026-07-15 12:00"), kNow + 86400 * kSecond);
}

TEST_F(MomentTest, TheTimeZoneIsTheUsers) {
  zone("CET-1CEST,M3.5.0,M10.5.0/3");
  EXPECT_EQ(at("14:00"), kNow);
  EXPECT_EQ(at("2026-01-14 13:00"), kNow - 181 * 86400 * kSecond);  // in winter an hour less
  EXPECT_EQ(moment_text(kNow + 5'000'000), "2026-07-14 14:00:00.005");
}

TEST_F(MomentTest, WhatIsStillToComeTodayIsRefusedWithARemedy) {
  auto refused = realtime_of(*parse_moment("12:00:00.001"), kNow);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kInvalid);
  EXPECT_NE(refused.error().remedy().find("date"), std::string::npos);
}

TEST_F(MomentTest, ADayThatIsNotInTheMonthIsRefused) {
  EXPECT_FALSE(realtime_of(*parse_moment("2026-02-30 10:00"), kNow).ok());
  EXPECT_TRUE(realtime_of(*parse_moment("2024-02-29 10:00"), kNow).ok());
}

TEST_F(MomentTest, OtherTextsAreNoMoments) {
  for (const char* text : {"", "12", "12:", "1:30", "24:00", "12:60", "12:00:60", "12:00:00.",
                           "noon", "12:00:00x", "2026-13-01 12:00", "2026-01-01", "2026-01-01 ",
                           "26-01-01 10:00", "12:00 ", "-1:00", "1969-01-01 10:00"}) {
    EXPECT_FALSE(parse_moment(text).has_value()) << text;
  }
}

TEST_F(MomentTest, SpansHaveUnits) {
  EXPECT_EQ(parse_span_ns("3s"), 3 * kSecond);
  EXPECT_EQ(parse_span_ns("250ms"), 250'000'000u);
  EXPECT_EQ(parse_span_ns("1.5s"), 1'500'000'000u);
  EXPECT_EQ(parse_span_ns("10us"), 10'000u);
  EXPECT_EQ(parse_span_ns("7ns"), 7u);
  EXPECT_EQ(parse_span_ns("2m"), 120 * kSecond);
  EXPECT_EQ(parse_span_ns("2min"), 120 * kSecond);
  EXPECT_EQ(parse_span_ns("0.5h"), 1800 * kSecond);
  EXPECT_EQ(parse_span_ns("1d"), 86400 * kSecond);
  EXPECT_EQ(parse_span_ns("0s"), 0u);
}

TEST_F(MomentTest, SpansReadBackAsTheyAreWritten) {
  EXPECT_EQ(span_text(100'000'000), "100ms");
  EXPECT_EQ(span_text(90 * kSecond), "90s");
  EXPECT_EQ(span_text(60 * kSecond), "1m");
  EXPECT_EQ(span_text(86400 * kSecond), "1d");
  EXPECT_EQ(span_text(1'500), "1500ns");
  EXPECT_EQ(span_text(0), "0d");
  for (uint64_t ns : {uint64_t{1}, 90 * kSecond, 7200 * kSecond})
    EXPECT_EQ(parse_span_ns(span_text(ns)), ns);
}

TEST_F(MomentTest, OtherTextsAreNoSpans) {
  for (const char* text : {"", "3", "s", "3x", "-3s", "3 s", "1.2.3s", ".5s", "1.s",
                           "999999999999d", "1234567890123s"}) {
    EXPECT_FALSE(parse_span_ns(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace perdure::cli
