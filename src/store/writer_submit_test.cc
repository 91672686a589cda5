#include <gtest/gtest.h>

#include "store/recovery.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::page_of;

// A small change of a large state, many times.
TEST(WriterSubmit, ChainsOfIndexesStayShort) {
  const auto disk = SimDisk::create(1);
  const auto store = PD_ASSERT_OK(Store::open(testing::options_on(disk, 4 << 20)));
  for (uint64_t epoch = 1; epoch <= 600; ++epoch) {
    const auto writer = PD_ASSERT_OK(store->begin_epoch());
    if (epoch == 1) {
      for (uint64_t page = 0; page < 800; ++page) {
        PD_ASSERT_OK(writer->put_pages(ObjectId(1), page * 2, page_of(page)));
      }
    }
    PD_ASSERT_OK(writer->put_pages(ObjectId(1), epoch, page_of(epoch)));
    PD_ASSERT_OK(writer->commit({}));
  }
  const Recovered found = PD_ASSERT_OK(recover(disk->device(), Thoroughness::kReader));
  uint32_t deepest = 0;
  int full = 0;
  for (const EpochRecord& record : found.catalog.epochs) {
    deepest = std::max(deepest, record.depth);
    full += record.depth == 0 ? 1 : 0;
  }
  EXPECT_LE(deepest, kChainMax);
  EXPECT_GE(full, 3);
  EXPECT_LE(full, 10);  // a full index is worth writing when the chain is as large
}

TEST(WriterSubmit, ASmallEpochIsOneWriteAndOneSync) {
  const auto disk = SimDisk::create(1);
  const auto store = PD_ASSERT_OK(Store::open(testing::options_on(disk, 4 << 20)));
  for (uint64_t epoch = 1; epoch <= 50; ++epoch) {
    const uint64_t before = disk->operations();
    const auto writer = PD_ASSERT_OK(store->begin_epoch());
    PD_ASSERT_OK(writer->put_record(ObjectId(2), 1, testing::bytes_of_text("record")));
    for (uint64_t page = 0; page < 10; ++page) {
      PD_ASSERT_OK(writer->put_pages(ObjectId(1), epoch * 20 + page, page_of(page)));
    }
    const EpochInfo info = PD_ASSERT_OK(writer->commit({}));
    EXPECT_EQ(disk->operations() - before, 2u);
    EXPECT_EQ(info.bytes_written, 12 * kBlockSize);  // ten pages, their table, and the commit
  }
}

uint64_t operations_for(const std::shared_ptr<SimDisk>& disk, Store& store, uint64_t pages) {
  const auto writer = PD_ASSERT_OK(store.begin_epoch());
  for (uint64_t page = 0; page < pages; ++page)
    PD_ASSERT_OK(writer->put_pages(ObjectId(1), page, page_of(page)));
  const uint64_t before = disk->operations();
  PD_ASSERT_OK(writer->commit({}));
  return disk->operations() - before;
}

TEST(WriterSubmit, OnlyALargeEpochIsSyncedBeforeItsCommit) {
  const auto disk = SimDisk::create(1);
  const auto store = PD_ASSERT_OK(Store::open(testing::options_on(disk, 16 << 20)));
  EXPECT_EQ(operations_for(disk, *store, 10), 2u);   // all of it, a sync
  EXPECT_EQ(operations_for(disk, *store, 400), 3u);  // a full buffer, the rest, a sync
  EXPECT_EQ(operations_for(disk, *store, 600), 6u);  // three buffers, a sync, the commit, a sync
}

TEST(WriterSubmit, AnEpochThatChangesNothingIsOneBlock) {
  const auto disk = SimDisk::create(1);
  const auto store = PD_ASSERT_OK(Store::open(testing::options_on(disk)));
  PD_ASSERT_OK(PD_ASSERT_OK(store->begin_epoch())->commit({}));
  const EpochInfo info = PD_ASSERT_OK(PD_ASSERT_OK(store->begin_epoch())->commit({}));
  EXPECT_EQ(info.bytes_written, kBlockSize);
  EXPECT_EQ(info.pages_changed + info.records_changed, 0u);
}

}  // namespace
}  // namespace perdure::store
