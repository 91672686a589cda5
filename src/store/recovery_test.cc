#include "store/recovery.h"

#include <gtest/gtest.h>

#include "store/sim_device.h"
#include "store/store.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Model;
using testing::page_of;
using testing::read_model;

Options on(const std::shared_ptr<SimDisk>& disk) {
  Options options;
  options.device = disk->device();
  options.access = Access::kWrite;
  options.create = Create::kIfMissing;
  options.writing = Writing::kInline;
  options.segment_bytes = 512 << 10;
  return options;
}

void commit_pages(Store& store, uint64_t seed, uint64_t pages) {
  const auto writer = PD_ASSERT_OK(store.begin_epoch());
  for (uint64_t page = 0; page < pages; ++page) {
    PD_ASSERT_OK(writer->put_pages(ObjectId(1), page, page_of(seed * 1000 + page)));
  }
  PD_ASSERT_OK(writer->commit({}));
}

TEST(Recovery, AnEmptyDirectoryIsNoStoreYet) {
  const Recovered found =
      PD_ASSERT_OK(recover(SimDisk::create(1)->device(), Thoroughness::kWriter));
  EXPECT_EQ(found.store_id, 0u);
}

TEST(Recovery, AnInterruptedCreationIsAnEmptyDirectory) {
  for (uint64_t crash = 0; crash < 5; ++crash) {
    const auto disk = SimDisk::create(crash);
    disk->crash_at(crash);
    EXPECT_FALSE(Store::open(on(disk)).ok());
    disk->power_cycle();
    const auto store = PD_ASSERT_OK(Store::open(on(disk)));
    EXPECT_TRUE(store->epochs().empty());
    commit_pages(*store, 1, 3);
    EXPECT_EQ(store->epochs().size(), 1u);
  }
}

TEST(Recovery, ACleanEndGoesOnInTheSameSegment) {
  const auto disk = SimDisk::create(1);
  for (uint64_t life = 0; life < 5; ++life) {
    const auto store = PD_ASSERT_OK(Store::open(on(disk)));
    commit_pages(*store, life, 3);
  }
  EXPECT_EQ(disk->names().size(), 1u);
  const Recovered found = PD_ASSERT_OK(recover(disk->device(), Thoroughness::kWriter));
  EXPECT_TRUE(found.clean);
  EXPECT_EQ(found.catalog.epochs.size(), 5u);
}

TEST(Recovery, AnUncleanEndBeginsANewSegmentWithACatalog) {
  const auto disk = SimDisk::create(1);
  {
    const auto store = PD_ASSERT_OK(Store::open(on(disk)));
    commit_pages(*store, 1, 3);
    disk->crash_at(disk->operations());
  }
  disk->power_cycle();
  const Recovered before = PD_ASSERT_OK(recover(disk->device(), Thoroughness::kWriter));
  EXPECT_FALSE(before.clean);
  EXPECT_EQ(before.catalog.epochs.size(), 1u);
  const auto store = PD_ASSERT_OK(Store::open(on(disk)));
  commit_pages(*store, 2, 3);
  const Recovered after = PD_ASSERT_OK(recover(disk->device(), Thoroughness::kReader));
  EXPECT_EQ(after.catalog_place, (FramePlace{2, kFirstFrameBlock}));
  EXPECT_EQ(after.catalog.epochs.size(), 2u);
}

// A small epoch is written together with its commit; any part of it may be missing after a loss of
// power.
TEST(Recovery, TornCommitIsInvisible) {
  int lost = 0, kept = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const auto disk = SimDisk::create(seed);
    {
      const auto store = PD_ASSERT_OK(Store::open(on(disk)));
      commit_pages(*store, 1, 3);
      disk->crash_at(disk->operations() + 1);  // the write goes through, the sync does not
      const auto writer = PD_ASSERT_OK(store->begin_epoch());
      PD_ASSERT_OK(writer->put_pages(ObjectId(1), 1, page_of(7)));
      EXPECT_EQ(writer->commit({}).error().code(), Code::kIo);
    }
    disk->power_cycle();
    const auto store = PD_ASSERT_OK(Store::open(on(disk)));
    const uint64_t epochs = store->epochs().size();
    ASSERT_TRUE(epochs == 1 || epochs == 2);
    ++(epochs == 1 ? lost : kept);
    const auto reader = PD_ASSERT_OK(store->read_epoch(Epoch(epochs)));
    const Model model = PD_ASSERT_OK(read_model(*reader));
    EXPECT_EQ(model.pages.at(1).at(1), epochs == 1 ? page_of(1001) : page_of(7));
  }
  EXPECT_GT(lost, 0);
  EXPECT_GT(kept, 0);  // whole by luck: then it counts
}

// Two losses of power. The first tears an epoch in front of its commit; the second takes the hints
// to the catalog that superseded it, so that the log is walked from before.
TEST(Recovery, WhatAnEarlierCrashToreIsNoDamageEither) {
  const auto disk = SimDisk::create(1);
  uint64_t torn = 0;
  {
    const auto store = PD_ASSERT_OK(Store::open(on(disk)));
    commit_pages(*store, 1, 3);
    commit_pages(*store, 2, 3);
    const auto reader = PD_ASSERT_OK(store->read_epoch(Epoch(2)));
    torn = reader->extents(ObjectId(1), 0, 1).at(0).location.block;
    disk->crash_at(disk->operations());
  }
  disk->power_cycle();
  disk->content("segment-00000001")[torn * kBlockSize] ^= 1;
  {
    const auto store = PD_ASSERT_OK(Store::open(on(disk)));
    EXPECT_TRUE(store->warnings().empty());
    ASSERT_EQ(store->epochs().size(), 1u);
    commit_pages(*store, 3, 3);
    disk->crash_at(disk->operations());
  }
  disk->power_cycle();
  std::vector<uint8_t>& newest = disk->content("segment-00000002");
  std::fill_n(newest.begin() + kAnchorBlock * kBlockSize, 2 * kBlockSize, uint8_t{0});
  const auto store = PD_ASSERT_OK(Store::open(on(disk)));
  EXPECT_EQ(store->epochs().size(), 2u);
  for (const std::string& text : store->warnings()) ADD_FAILURE() << text;
}

TEST(Recovery, ManyEpochsAreFoundThroughACatalogNotByWalkingThemAll) {
  const auto disk = SimDisk::create(1);
  const auto store = PD_ASSERT_OK(Store::open(on(disk)));
  for (uint64_t epoch = 1; epoch <= 300; ++epoch) {
    commit_pages(*store, epoch, 1);
    if (epoch % 50 != 0) continue;
    const Recovered found = PD_ASSERT_OK(recover(disk->device(), Thoroughness::kReader));
    EXPECT_EQ(found.catalog.epochs.size(), epoch);
    EXPECT_LE(found.commits_since_catalog, 80u);
  }
}

TEST(Recovery, WithoutItsHintsTheWholeLogIsWalked) {
  const auto disk = SimDisk::create(1);
  {
    const auto store = PD_ASSERT_OK(Store::open(on(disk)));
    for (uint64_t epoch = 1; epoch <= 200; ++epoch) commit_pages(*store, epoch, 2);
  }
  const std::vector<std::string> names = disk->names();
  ASSERT_GT(names.size(), 3u);
  for (const std::string& name : names) {  // both anchors, and what the header says of a catalog
    std::vector<uint8_t>& content = disk->content(name);
    std::fill_n(content.begin() + kAnchorBlock * kBlockSize, 2 * kBlockSize, uint8_t{0});
    if (name != names.front()) std::fill_n(content.begin(), kBlockSize, uint8_t{0});
  }
  const auto store = PD_ASSERT_OK(Store::open(on(disk)));
  ASSERT_EQ(store->epochs().size(), 200u);
  EXPECT_TRUE(PD_ASSERT_OK(store->scrub({})).damage.empty());
}

}  // namespace
}  // namespace perdure::store
