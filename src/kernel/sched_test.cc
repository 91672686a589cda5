#include "kernel/sched.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernel/features.h"
#include "kernel/test_child.h"

namespace perdure::kernel {
namespace {

TEST(Sched, WhatIsSetFromOutsideIsRead) {
  TestChild child([] {});
  SchedulerAttributes attributes = sched_getattr(child.pid()).value();
  attributes.policy = SCHED_BATCH;
  attributes.nice = 7;
  ASSERT_TRUE(sched_setattr(child.pid(), attributes).ok());
  EXPECT_EQ(sched_getattr(child.pid()).value().policy, static_cast<uint32_t>(SCHED_BATCH));
  EXPECT_EQ(::getpriority(PRIO_PROCESS, static_cast<id_t>(child.pid())), 7);
}

TEST(Sched, ARealTimePolicyIsSet) {
  if (!Features::create("").value().has(Feature::kRaisePriority))
    GTEST_SKIP() << "raise_priority is missing, see `perdure check`";
  TestChild child([] {});
  SchedulerAttributes attributes;
  attributes.policy = SCHED_FIFO;
  attributes.priority = 3;
  ASSERT_TRUE(sched_setattr(child.pid(), attributes).ok());
  EXPECT_EQ(sched_getattr(child.pid()).value().priority, 3u);
}

TEST(Sched, AnIdlePolicyTakesItsNiceValueAlong) {
  TestChild child([] {});
  SchedulerAttributes attributes;
  attributes.policy = SCHED_IDLE;
  attributes.nice = 5;
  ASSERT_TRUE(sched_setattr(child.pid(), attributes).ok());
  EXPECT_EQ(sched_getattr(child.pid()).value().policy, static_cast<uint32_t>(SCHED_IDLE));
  EXPECT_EQ(::getpriority(PRIO_PROCESS, static_cast<id_t>(child.pid())), 5);
}

TEST(Sched, AffinityIsABitSetWithoutTrailingZeros) {
  TestChild child([] {});
  const uint8_t first[] = {1};
  ASSERT_TRUE(sched_setaffinity(child.pid(), first).ok());
  EXPECT_EQ(sched_getaffinity(child.pid()).value(), std::vector<uint8_t>{1});
  const uint8_t none[] = {0};
  EXPECT_FALSE(sched_setaffinity(child.pid(), none).ok());
}

TEST(Sched, IoPriorityIsKept) {
  TestChild child([] {});
  constexpr uint32_t kBestEffort6 = 2u << kIoPriorityClassShift | 6;
  ASSERT_TRUE(ioprio_set(child.pid(), kBestEffort6).ok());
  EXPECT_EQ(ioprio_get(child.pid()).value(), kBestEffort6);
}

TEST(Sched, ADeadTaskIsGone) {
  pid_t pid;
  {
    TestChild child([] {});
    pid = child.pid();
  }
  EXPECT_EQ(sched_getattr(pid).error().code(), Code::kGone);
  EXPECT_EQ(sched_getaffinity(pid).error().code(), Code::kGone);
  EXPECT_EQ(ioprio_get(pid).error().code(), Code::kGone);
}

}  // namespace
}  // namespace perdure::kernel
