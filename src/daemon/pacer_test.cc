#include "daemon/pacer.h"

#include <gtest/gtest.h>

namespace perdure::daemon {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kStart = 1'000'000 * kMs;

TEST(Pacer, NothingIsDueWithoutAPeriodOrInAPause) {
  Pacer pacer;
  EXPECT_FALSE(pacer.due_ns());
  pacer.set_period(10 * kMs, kStart);
  EXPECT_EQ(pacer.due_ns(), kStart);
  pacer.pause();
  EXPECT_FALSE(pacer.due_ns());
  pacer.resume(kStart + 500 * kMs);
  EXPECT_EQ(pacer.due_ns(), kStart + 500 * kMs);
  EXPECT_EQ(pacer.missed(), 0u);
  pacer.set_period(0, kStart);
  EXPECT_FALSE(pacer.due_ns());
}

TEST(Pacer, LatenessDoesNotAddUp) {
  Pacer pacer;
  pacer.set_period(10 * kMs, kStart);
  for (uint64_t i = 0; i < 100; ++i) {
    const uint64_t begin = *pacer.due_ns() + kMs / 10;
    pacer.note(Pacer::Outcome::kSaved, begin, begin + kMs);
  }
  EXPECT_EQ(pacer.due_ns(), kStart + 1000 * kMs);
  EXPECT_EQ(pacer.missed(), 0u);
}

TEST(Pacer, WhileProcessorsAreContendedSavingGetsLessOfThem) {
  Pacer pacer;
  pacer.set_period(10 * kMs, kStart);
  for (int i = 0; i < 100; ++i) {
    const uint64_t begin = *pacer.due_ns();
    pacer.note(Pacer::Outcome::kSaved, begin, begin + 8 * kMs);
  }
  EXPECT_NEAR(static_cast<double>(pacer.period_now_ns()), 16e6, 1e4);
  pacer.set_contended(true);
  EXPECT_NEAR(static_cast<double>(pacer.period_now_ns()), 64e6, 1e4);
  pacer.set_contended(false);
  EXPECT_NEAR(static_cast<double>(pacer.period_now_ns()), 16e6, 1e4);
  for (int i = 0; i < 100; ++i) {
    const uint64_t begin = *pacer.due_ns();
    pacer.note(Pacer::Outcome::kSaved, begin, begin + 30 * kMs);
  }
  pacer.set_contended(true);
  EXPECT_NEAR(static_cast<double>(pacer.period_now_ns()), 100e6, 1e4) << "not longer for that";
  for (int i = 0; i < 100; ++i) {
    const uint64_t begin = *pacer.due_ns();
    pacer.note(Pacer::Outcome::kSaved, begin, begin + 80 * kMs);
  }
  EXPECT_NEAR(static_cast<double>(pacer.period_now_ns()), 160e6, 1e4);
}

TEST(Pacer, WhatEpochsCostTheProgramIsAFifthOfItsTimeUpToASecond) {
  Pacer pacer;
  pacer.set_period(10 * kMs, kStart);
  const auto save = [&](uint64_t burden_ns) {
    for (int i = 0; i < 100; ++i) {
      const uint64_t begin = *pacer.due_ns();
      pacer.note(Pacer::Outcome::kSaved, begin, begin + kMs, burden_ns);
    }
    return static_cast<double>(pacer.period_now_ns());
  };
  EXPECT_NEAR(save(2 * kMs), 10e6, 1);
  EXPECT_NEAR(save(20 * kMs), 100e6, 1e5);
  EXPECT_NEAR(save(500 * kMs), 1000e6, 1);
  EXPECT_NEAR(save(kMs), 10e6, 1);
  pacer.set_period(5000 * kMs, kStart);
  EXPECT_NEAR(save(500 * kMs), 5000e6, 1);
}

TEST(Pacer, SlowSavingStretchesThePeriodAndCountsWhatIsMissed) {
  Pacer pacer;
  pacer.set_period(10 * kMs, kStart);
  uint64_t last = 0;
  for (int i = 0; i < 100; ++i) {
    last = *pacer.due_ns();
    pacer.note(Pacer::Outcome::kSaved, last, last + 20 * kMs);
  }
  EXPECT_NEAR(static_cast<double>(pacer.period_now_ns()), 40.0 * kMs, 0.1 * kMs);
  const uint64_t periods = (last - kStart) / (10 * kMs);
  EXPECT_NEAR(static_cast<double>(pacer.missed()), static_cast<double>(periods - 99), 2);
  for (int i = 0; i < 100; ++i) {
    last = *pacer.due_ns();
    pacer.note(Pacer::Outcome::kSaved, last, last + kMs);
  }
  EXPECT_EQ(pacer.period_now_ns(), 10 * kMs);
}

TEST(Pacer, OneWholeEpochStretchesNothing) {
  Pacer pacer;
  pacer.set_period(10 * kMs, kStart);
  pacer.note(Pacer::Outcome::kSavedWhole, kStart, kStart + 1100 * kMs);
  EXPECT_EQ(pacer.period_now_ns(), 10 * kMs);
  EXPECT_EQ(pacer.due_ns(), kStart + 1100 * kMs);
  for (int i = 0; i < 3; ++i) {
    const uint64_t begin = *pacer.due_ns();
    pacer.note(Pacer::Outcome::kSaved, begin, begin + kMs);
  }
  EXPECT_EQ(pacer.due_ns(), kStart + 1130 * kMs);
  pacer.note(Pacer::Outcome::kSavedWhole, kStart + 1130 * kMs, kStart + 2230 * kMs);
  EXPECT_EQ(pacer.period_now_ns(), 10 * kMs);
}

TEST(Pacer, WholeEpochsInARowStretchThePeriod) {
  Pacer pacer;
  pacer.set_period(10 * kMs, kStart);
  for (int i = 0; i < 40; ++i) {
    const uint64_t begin = *pacer.due_ns();
    pacer.note(Pacer::Outcome::kSavedWhole, begin, begin + 100 * kMs);
  }
  EXPECT_NEAR(static_cast<double>(pacer.period_now_ns()), 200.0 * kMs, kMs);
}

TEST(Pacer, FailuresBackOffAndOneSuccessEndsThat) {
  Pacer pacer;
  pacer.set_period(10 * kMs, kStart);
  uint64_t now = kStart;
  for (int i = 0; i < 50; ++i) {
    const uint64_t before = now;
    pacer.note(Pacer::Outcome::kFailed, now, now);
    now = *pacer.due_ns();
    EXPECT_GT(now, before);
    EXPECT_LE(now - before, kRetryNsMax);
  }
  EXPECT_EQ(*pacer.due_ns() - now, 0u);
  pacer.note(Pacer::Outcome::kFailed, now, now);
  EXPECT_EQ(*pacer.due_ns() - now, kRetryNsMax);
  now = *pacer.due_ns();
  pacer.note(Pacer::Outcome::kSaved, now, now + kMs);
  EXPECT_EQ(*pacer.due_ns() - now, 10 * kMs);
  EXPECT_GE(pacer.missed(), 51u);
}

TEST(Pacer, AFailureInALongPeriodIsTriedAgainNotSooner) {
  Pacer pacer;
  pacer.set_period(60'000 * kMs, kStart);
  pacer.note(Pacer::Outcome::kFailed, kStart, kStart);
  EXPECT_EQ(*pacer.due_ns() - kStart, 60'000 * kMs);
}

TEST(Pacer, EpochsThatArePutOffBeforeTheFirstAreMissed) {
  Pacer pacer;
  pacer.set_period(10 * kMs, kStart);
  for (uint64_t at = 0; at < 5; ++at) pacer.postpone(kStart + at * 10 * kMs);
  pacer.note(Pacer::Outcome::kSaved, kStart + 50 * kMs, kStart + 51 * kMs);
  EXPECT_EQ(pacer.missed(), 5u);
}

TEST(Pacer, EpochsComeMoreSlowlyForTheSakeOfSpace) {
  Pacer pacer;
  pacer.set_period(10 * kMs, kStart);
  pacer.set_slowdown(2.5);
  EXPECT_EQ(pacer.period_now_ns(), 25 * kMs);
  pacer.set_slowdown(1000);
  EXPECT_EQ(pacer.period_now_ns(), 1000 * kMs);
  pacer.set_period(2000 * kMs, kStart);  // slow enough
  EXPECT_EQ(pacer.period_now_ns(), 2000 * kMs);
  pacer.set_period(10 * kMs, kStart);
  pacer.set_slowdown(1);
  EXPECT_EQ(pacer.period_now_ns(), 10 * kMs);
}

TEST(Pacer, ABusyDiskPutsTheNextEpochOff) {
  Pacer pacer;
  pacer.set_period(10 * kMs, kStart);
  pacer.note(Pacer::Outcome::kSaved, kStart, kStart + kMs);
  pacer.postpone(kStart + 10 * kMs);
  pacer.postpone(kStart + 20 * kMs);
  EXPECT_EQ(pacer.due_ns(), kStart + 30 * kMs);
  pacer.note(Pacer::Outcome::kSaved, kStart + 30 * kMs, kStart + 31 * kMs);
  EXPECT_EQ(pacer.missed(), 2u);
}

}  // namespace
}  // namespace perdure::daemon
