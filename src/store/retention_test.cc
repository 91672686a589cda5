#include "store/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::store {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

std::vector<EpochInfo> epochs_at(const std::vector<uint64_t>& times) {
  std::vector<EpochInfo> epochs;
  for (const uint64_t time : times) {
    EpochInfo info;
    info.epoch = Epoch(epochs.size() + 1);
    info.durable_realtime_ns = time;
    epochs.push_back(info);
  }
  return epochs;
}

TEST(Retention, TheNewestEpochIsAlwaysKept) {
  EXPECT_THAT(epochs_to_drop(epochs_at({}), {0, {}}), ::testing::IsEmpty());
  EXPECT_THAT(epochs_to_drop(epochs_at({1, 2, 3}), {0, {}}),
              ::testing::ElementsAre(Epoch(1), Epoch(2)));
}

TEST(Retention, TheLastNAreKept) {
  EXPECT_THAT(epochs_to_drop(epochs_at({1, 2, 3, 4}), {3, {}}), ::testing::ElementsAre(Epoch(1)));
  EXPECT_THAT(epochs_to_drop(epochs_at({1, 2}), {3, {}}), ::testing::IsEmpty());
}

TEST(Retention, ARuleKeepsTheLastOfEveryInterval) {
  const auto epochs =
      epochs_at({kSecond, kSecond + 1, kSecond + 2, 2 * kSecond, 3 * kSecond, 3 * kSecond + 5});
  EXPECT_THAT(epochs_to_drop(epochs, {1, {{kSecond, 100 * kSecond}}}),
              ::testing::ElementsAre(Epoch(1), Epoch(2), Epoch(5)));
}

TEST(Retention, ARuleEndsWithItsAge) {
  const auto epochs = epochs_at({kSecond, 5 * kSecond, 9 * kSecond, 10 * kSecond});
  EXPECT_THAT(epochs_to_drop(epochs, {1, {{0, 2 * kSecond}}}),
              ::testing::ElementsAre(Epoch(1), Epoch(2)));
}

TEST(Retention, RulesAddUp) {
  std::vector<uint64_t> times;
  for (uint64_t at = 0; at < 100; ++at) times.push_back(at * kSecond / 10);
  const auto dropped =
      epochs_to_drop(epochs_at(times), {1, {{0, kSecond}, {kSecond, 100 * kSecond}}});
  EXPECT_EQ(100 - dropped.size(),
            11u + 8u);  // the last second whole, and one of each of the eight before
}

}  // namespace
}  // namespace perdure::store
