#include "daemon/histogram.h"

#include <gtest/gtest.h>

namespace perdure::daemon {
namespace {

TEST(Histogram, EveryDurationLiesBelowItsBoundAndNotFar) {
  for (uint64_t us :
       {0ull, 1ull, 2ull, 3ull, 7ull, 100ull, 185ull, 999ull, 12'345ull, 1'000'000ull}) {
    Histogram histogram;
    histogram.add(us);
    const uint64_t bound = histogram.quantile_us(0.5);
    EXPECT_GT(bound, us);
    EXPECT_LE(static_cast<double>(bound), static_cast<double>(us) * 1.19 + 2) << us;
  }
}

TEST(Histogram, QuantilesCount) {
  Histogram histogram;
  for (uint64_t us = 1; us <= 1000; ++us) histogram.add(us);
  EXPECT_EQ(histogram.count(), 1000u);
  EXPECT_NEAR(static_cast<double>(histogram.quantile_us(0.5)), 500, 100);
  EXPECT_NEAR(static_cast<double>(histogram.quantile_us(0.99)), 990, 200);
  EXPECT_GE(histogram.quantile_us(1), 1000u);
  EXPECT_EQ(Histogram().quantile_us(0.5), 0u);
  Histogram copy(histogram.counts());
  EXPECT_EQ(copy.quantile_us(0.5), histogram.quantile_us(0.5));
}

TEST(Histogram, TheLastBucketTakesTheRest) {
  Histogram histogram;
  histogram.add(uint64_t{1} << 40);
  EXPECT_EQ(histogram.count(), 1u);
}

}  // namespace
}  // namespace perdure::daemon
