#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "store/retention.h"

namespace perdure::store {
namespace {

constexpr uint64_t kMs = 1'000'000, kSecond = 1000 * kMs, kMinute = 60 * kSecond,
                   kHour = 60 * kMinute, kDay = 24 * kHour;

struct Good {
  const char* text;
  Retention policy;
  const char* printed = nullptr;  // null: as it was
};

TEST(RetentionText, RulesMeanWhatTheySay) {
  const Good table[] = {
      {"1", {1, {}}},
      {"250", {250, {}}},
      {"100000", {100'000, {}}},
      {"007", {7, {}}, "7"},
      {"all:1s", {1, {{0, kSecond}}}},
      {"all:1500ms", {1, {{0, 1500 * kMs}}}},
      {"1/s:1m", {1, {{kSecond, kMinute}}}},
      {"1/1s:60s", {1, {{kSecond, kMinute}}}, "1/s:1m"},
      {"3/s:1m", {1, {{333'333'333, kMinute}}}},
      {"4/m:1h", {1, {{15 * kSecond, kHour}}}},
      {"1/15s:1h", {1, {{15 * kSecond, kHour}}}, "4/m:1h"},
      {"1/90s:1h", {1, {{90 * kSecond, kHour}}}, "40/h:1h"},
      {"1/d:30d", {1, {{kDay, 30 * kDay}}}},
      {"2/d:7d", {1, {{12 * kHour, 7 * kDay}}}},
      {"1/2d:36525d", {1, {{2 * kDay, 36'525 * kDay}}}},
      {"1/7ms:1us", {1, {{7 * kMs, 1000}}}},
      {"10,all:2s", {10, {{0, 2 * kSecond}}}},
      {"all:2s,10", {10, {{0, 2 * kSecond}}}, "10,all:2s"},
      {"1,all:2s", {1, {{0, 2 * kSecond}}}, "all:2s"},
      {"all:1s,1/s:1m,1/m:1h,1/h:7d",
       {1, {{0, kSecond}, {kSecond, kMinute}, {kMinute, kHour}, {kHour, 7 * kDay}}}},
  };
  for (const Good& row : table) {
    const auto policy = parse_retention(row.text);
    ASSERT_TRUE(policy.ok()) << row.text << ": " << policy.error().to_string();
    EXPECT_EQ(*policy, row.policy) << row.text;
    const std::string printed = print_retention(*policy);
    EXPECT_EQ(printed, row.printed != nullptr ? row.printed : row.text);
    EXPECT_EQ(*parse_retention(printed), row.policy) << printed;
  }
}

struct Bad {
  const char* text;
  const char* why;
};

TEST(RetentionText, WhatMeansNothingIsRefusedByName) {
  const Bad table[] = {
      {"", "rule '': it is empty"},
      {",1", "rule '': it is empty"},
      {"all:1s,", "rule '': it is empty"},
      {"0", "rule '0': a store keeps 1 to 100000 epochs"},
      {"100001", "a store keeps 1 to 100000 epochs"},
      {"99999999999999999999999", "a store keeps 1 to 100000 epochs"},
      {"5,6", "rule '6': there is a number of newest epochs already"},
      {"-1", "rule '-1': it does not say for how long"},
      {"all", "rule 'all': it does not say for how long (like all:1h)"},
      {"1/s", "rule '1/s': it does not say for how long (like 1/s:1h)"},
      {"every:1s", "rule 'every:1s': it begins with neither 'all' nor a number"},
      {"1:1s", "it begins with neither 'all' nor a number"},
      {"0/s:1m", "'0' is no number of epochs"},
      {"x/s:1m", "'x' is no number of epochs"},
      {"/s:1m", "'' is no number of epochs"},
      {"1/:1m", "'' is no length of time"},
      {"1/w:1m", "'w' is no length of time"},
      {"1/s:m", "'m' is no length of time (a number and ns, us, ms, s, m, h or d)"},
      {"1/s:1", "'1' is no length of time"},
      {"1/s:1 m", "'1 m' is no length of time"},
      {"all:1s:2s", "'1s:2s' is no length of time"},
      {"all: 1s", "' 1s' is no length of time"},
      {"all:0s", "'0s' is no time at all"},
      {"1/0s:1m", "'0s' is no time at all"},
      {"all:36526d", "'36526d' is longer than a hundred years"},
      {"all:99999999999999999999d", "is longer than a hundred years"},
      {"2/ns:1s", "more than one epoch a nanosecond"},
  };
  for (const Bad& row : table) {
    const auto policy = parse_retention(row.text);
    ASSERT_FALSE(policy.ok()) << row.text;
    EXPECT_EQ(policy.error().code(), Code::kInvalid) << row.text;
    EXPECT_THAT(policy.error().message(), ::testing::HasSubstr(row.why)) << row.text;
    EXPECT_FALSE(policy.error().remedy().empty());
  }
  std::string many = "all:1s";
  for (int rule = 1; rule < 33; ++rule) many += ",all:1s";
  EXPECT_THAT(parse_retention(many).error().message(), ::testing::HasSubstr("more than 32 rules"));
}

TEST(RetentionText, EveryPolicyThatIsPrintedIsReadBack) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    Retention policy{1 + random() % 1000, {}};
    for (uint64_t rule = random() % 4; rule > 0; --rule) {
      const uint64_t every =
          random() % 3 == 0 ? kHour / (1 + random() % 5000) : random() >> (4 + random() % 60);
      policy.rules.push_back({every % (100 * kDay), 1 + random() % (300 * kDay)});
    }
    const std::string text = print_retention(policy);
    const auto again = parse_retention(text);
    ASSERT_TRUE(again.ok()) << text << ": " << again.error().to_string();
    EXPECT_EQ(*again, policy) << text;
  }
}

}  // namespace
}  // namespace perdure::store
