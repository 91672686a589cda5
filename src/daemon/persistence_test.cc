#include "daemon/persistence.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "daemon/test_group.h"

namespace perdure::daemon {
namespace {

class ManualClock final : public Clock {
 public:
  uint64_t monotonic_ns() const override { return now_ns; }
  uint64_t realtime_ns() const override { return now_ns; }
  uint64_t now_ns = 1'000'000'000;
};

class PersistenceTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(group_, nullptr);
    GroupSettings settings;
    settings.every_ns = 10'000'000;
    persistence_.configure(settings);
  }
  void TearDown() override { unlink(path_.c_str()); }
  void save_next() {
    clock_.now_ns = std::max(clock_.now_ns, *persistence_.due_ns());
    persistence_.serve();
  }
  control::Persistence described() const {
    control::Persistence reply;
    persistence_.describe(reply);
    return reply;
  }
  int lines_with(const std::string& text) const {
    std::ifstream in(path_);
    int count = 0;
    for (std::string line; std::getline(in, line);) count += line.find(text) != std::string::npos;
    return count;
  }

  std::string path_ = "persistence_test." + std::to_string(getpid()) + ".log";
  std::unique_ptr<TestGroup> group_ = TestGroup::start({"sleep", "1000"}, TestTerminal::kNone);
  ManualClock clock_;
  Log log_ = Log::open(path_);
  Persistence persistence_{*group_, clock_, log_};
};

TEST_F(PersistenceTest, WhatCannotBeDroppedIsToldWhileItLastsAndLoggedOnce) {
  save_next();
  EXPECT_EQ(described().last_error(), "");
  group_->retained = Error(Code::kIo, "segment-00000007: Input/output error");
  for (int epoch = 0; epoch < 3; ++epoch) save_next();
  EXPECT_NE(described().last_error().find("older epochs could not be dropped"), std::string::npos);
  EXPECT_NE(described().last_error().find("segment-00000007"), std::string::npos);
  EXPECT_EQ(described().failures(), 0u);  // no epoch failed
  EXPECT_EQ(described().captured(), 4u);
  group_->retained = Ok{};
  save_next();
  EXPECT_EQ(described().last_error(), "");
  EXPECT_EQ(lines_with("older epochs could not be dropped"), 1);
}

TEST_F(PersistenceTest, EpochsComeAsSlowlyAsTheGroupAsks) {
  save_next();
  save_next();
  EXPECT_EQ(described().period_now_ns(), 10'000'000u);
  group_->slow = 7;
  save_next();
  EXPECT_EQ(described().period_now_ns(), 70'000'000u);
  const uint64_t due = *persistence_.due_ns();
  EXPECT_GE(due, clock_.now_ns + 60'000'000);
  group_->slow = 1;
  save_next();
  EXPECT_EQ(described().period_now_ns(), 10'000'000u);
}

}  // namespace
}  // namespace perdure::daemon
