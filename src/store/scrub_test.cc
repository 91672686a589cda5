#include <gtest/gtest.h>

#include <algorithm>

#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::page_of;

// Three epochs: page 100 is in all of them, page 5 is another one in each.
class ScrubTest : public ::testing::Test {
 protected:
  void SetUp() override {
    store_ = PD_ASSERT_OK(Store::open(testing::options_on(disk_, 1 << 20)));
    for (uint64_t epoch = 1; epoch <= 3; ++epoch) {
      const auto writer = PD_ASSERT_OK(store_->begin_epoch());
      PD_ASSERT_OK(writer->put_record(ObjectId(1), 1, testing::bytes_of_text("record")));
      if (epoch == 1) PD_ASSERT_OK(writer->put_pages(ObjectId(2), 100, page_of(100)));
      PD_ASSERT_OK(writer->put_pages(ObjectId(2), 5, page_of(epoch)));
      PD_ASSERT_OK(writer->commit({}));
    }
  }
  void spoil(Epoch epoch, uint64_t page) {
    const auto reader = PD_ASSERT_OK(store_->read_epoch(epoch));
    const PageExtent extent = reader->extents(ObjectId(2), page, 1).at(0);
    disk_->content("segment-00000001")[extent.location.byte_offset() + 17] ^= 1;
  }
  std::vector<uint64_t> damaged() {
    std::vector<uint64_t> epochs;
    const ScrubReport report = PD_ASSERT_OK(store_->scrub({}));
    EXPECT_EQ(report.epochs, 3u);
    for (const auto& damage : report.damage) {
      EXPECT_NE(damage.what.find("segment-00000001 at byte"), std::string::npos);
      epochs.push_back(damage.epoch.value);
    }
    return epochs;
  }

  std::shared_ptr<SimDisk> disk_ = SimDisk::create(1);
  std::unique_ptr<Store> store_;
};

TEST_F(ScrubTest, AnIntactStoreHasNoDamage) {
  EXPECT_TRUE(damaged().empty());
  EXPECT_GT(PD_ASSERT_OK(store_->scrub({})).bytes_checked, 4 * kPageSize);
}

TEST_F(ScrubTest, OnlyTheEpochThatNeedsADamagedPageIsBlamed) {
  spoil(Epoch(2), 5);
  EXPECT_EQ(damaged(), (std::vector<uint64_t>{2}));
}

TEST_F(ScrubTest, EveryEpochThatNeedsADamagedPageIsBlamed) {
  spoil(Epoch(1), 100);
  EXPECT_EQ(damaged(), (std::vector<uint64_t>{1, 2, 3}));
}

TEST_F(ScrubTest, WhatWasDroppedOrMovedMeanwhileIsNoDamage) {
  Options options = testing::options_on(disk_, 1 << 20);
  options.access = Access::kRead;
  // A writer that ends uncleanly and comes back: the log goes on in another segment, and the first
  // one can be given up.
  disk_->crash_at(disk_->operations());
  store_.reset();
  disk_->power_cycle();
  store_ = PD_ASSERT_OK(Store::open(testing::options_on(disk_, 1 << 20)));
  options.device = disk_->device();
  const auto beside = PD_ASSERT_OK(Store::open(options));
  Store::Begin empty;
  empty.contents = Contents::kEmpty;
  PD_ASSERT_OK(PD_ASSERT_OK(store_->begin_epoch(empty))->commit({}));
  PD_ASSERT_OK(store_->drop({Epoch(1), Epoch(2), Epoch(3)}));
  const auto names = disk_->names();
  ASSERT_EQ(std::count(names.begin(), names.end(), "segment-00000001"), 0);
  EXPECT_EQ(beside->epochs().size(), 3u);  // as it was
  const ScrubReport report = PD_ASSERT_OK(beside->scrub({}));
  for (const auto& damage : report.damage) ADD_FAILURE() << damage.what;
}

TEST_F(ScrubTest, ProgressEndsWithEverythingDone) {
  ScrubProgress last;
  PD_ASSERT_OK(store_->scrub([&](const ScrubProgress& progress) { last = progress; }));
  EXPECT_EQ(last.epochs_done, 3u);
  EXPECT_EQ(last.epochs_total, 3u);
}

}  // namespace
}  // namespace perdure::store
