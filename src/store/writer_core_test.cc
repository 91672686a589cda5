#include "store/writer_core.h"

#include <gtest/gtest.h>

#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::page_of;

Status commit_page(Store& store, uint64_t page) {
  const auto writer = PD_TRY(store.begin_epoch());
  PD_TRY(writer->put_pages(ObjectId(1), page, page_of(page)));
  PD_TRY(writer->commit({}));
  return Ok{};
}

TEST(WriterCore, AFailedSyncCostsTheEpochAndItsNumber) {
  const auto disk = SimDisk::create(1);
  const auto store = PD_ASSERT_OK(Store::open(testing::options_on(disk)));
  PD_ASSERT_OK(commit_page(*store, 1));
  disk->fail_at(disk->operations() + 1, Code::kIo);
  const Status failed = commit_page(*store, 2);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code(), Code::kIo);
  EXPECT_NE(failed.error().message().find("epoch 2 could not be made durable"), std::string::npos);
  EXPECT_FALSE(failed.error().remedy().empty());
  PD_ASSERT_OK(commit_page(*store, 3));
  const auto epochs = store->epochs();
  ASSERT_EQ(epochs.size(), 2u);
  EXPECT_EQ(epochs[1].epoch, Epoch(3));  // 2 may be on the disk: its number is not used again
  EXPECT_EQ(epochs[1].parent, Epoch(1));
  const auto model = PD_ASSERT_OK(testing::read_model(*PD_ASSERT_OK(store->read_epoch(Epoch(3)))));
  EXPECT_FALSE(model.pages.at(1).contains(2));
}

TEST(WriterCore, AFailureFailsEveryEpochBehindIt) {
  const auto disk = SimDisk::create(1);
  const auto store = PD_ASSERT_OK(Store::open(testing::options_on(disk)));
  PD_ASSERT_OK(commit_page(*store, 1));
  disk->fail_at(disk->operations(), Code::kFull);
  std::vector<PendingEpoch> pending;
  for (uint64_t page = 2; page < 5; ++page) {
    const auto writer = PD_ASSERT_OK(store->begin_epoch());
    PD_ASSERT_OK(writer->put_pages(ObjectId(1), page, page_of(page)));
    pending.push_back(PD_ASSERT_OK(writer->submit({})));
  }
  for (PendingEpoch& epoch : pending) EXPECT_EQ(epoch.wait().error().code(), Code::kFull);
  PD_ASSERT_OK(commit_page(*store, 9));
  EXPECT_EQ(store->epochs().size(), 2u);
}

TEST(WriterCore, AWriterOutlivesItsStore) {
  const auto disk = SimDisk::create(1);
  auto store = PD_ASSERT_OK(Store::open(testing::options_on(disk)));
  auto writer = PD_ASSERT_OK(store->begin_epoch());
  store.reset();
  PD_ASSERT_OK(writer->put_pages(ObjectId(1), 1, page_of(1)));
  PD_ASSERT_OK(writer->commit({}));
  writer.reset();
  store = PD_ASSERT_OK(Store::open(testing::options_on(disk)));
  EXPECT_EQ(store->epochs().size(), 1u);
}

}  // namespace
}  // namespace perdure::store
