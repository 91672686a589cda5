#include "store/epoch_reader.h"

#include <gtest/gtest.h>

#include <thread>

#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Page;
using testing::page_of;

class EpochReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto writer = PD_ASSERT_OK(store_->begin_epoch());
    PD_ASSERT_OK(writer->put_record(ObjectId(9), 4, testing::bytes_of_text("nine")));
    PD_ASSERT_OK(writer->put_record(ObjectId(2), 5, testing::bytes_of_text("two")));
    for (uint64_t page = 0; page < 300; ++page) {
      if (page % 10 != 3) PD_ASSERT_OK(writer->put_pages(ObjectId(9), page, page_of(page)));
    }
    PD_ASSERT_OK(writer->commit({}));
    reader_ = PD_ASSERT_OK(store_->read_epoch(Epoch(1)));
  }

  std::shared_ptr<SimDisk> disk_ = SimDisk::create(1);
  std::unique_ptr<Store> store_ = PD_ASSERT_OK(Store::open(testing::options_on(disk_)));
  std::unique_ptr<EpochReader> reader_;
};

TEST_F(EpochReaderTest, ObjectsAndRecordsComeByAscendingId) {
  std::vector<uint64_t> ids;
  PD_ASSERT_OK(reader_->for_each_record([&](ObjectId id, uint32_t, Bytes) -> Status {
    ids.push_back(id.value);
    return Ok{};
  }));
  EXPECT_EQ(ids, (std::vector<uint64_t>{2, 9}));
  const auto objects = reader_->objects();
  ASSERT_EQ(objects.size(), 2u);
  EXPECT_EQ(objects[1].kind, 4u);
  EXPECT_EQ(objects[1].record_bytes, 4u);
  EXPECT_EQ(objects[1].pages, 270u);
  EXPECT_EQ(PD_ASSERT_OK(reader_->record(ObjectId(2))), "two");
  EXPECT_EQ(reader_->record(ObjectId(3)).error().code(), Code::kNotFound);
}

TEST_F(EpochReaderTest, ARangeReadsZerosWhereNothingIsStored) {
  Page bytes(12 * kPageSize, 0xaa);
  PD_ASSERT_OK(reader_->read_range(ObjectId(9), 295, bytes));
  for (uint64_t at = 0; at < 12; ++at) {
    const uint64_t page = 295 + at;
    const Page expected = page < 300 && page % 10 != 3 ? page_of(page) : Page(kPageSize);
    EXPECT_EQ(std::memcmp(bytes.data() + at * kPageSize, expected.data(), kPageSize), 0) << page;
  }
  PD_ASSERT_OK(reader_->read_range(ObjectId(77), 0, bytes));
  EXPECT_TRUE(all_zero(bytes));
}

TEST_F(EpochReaderTest, APartOfAnExtentIsRead) {
  const PageExtent extent = reader_->extents(ObjectId(9), 14, 5).at(0);
  EXPECT_EQ(extent.first_page, 14u);
  const PageExtent part = extent.clipped(15, 17);
  Page bytes(2 * kPageSize);
  PD_ASSERT_OK(reader_->read_pages(part, bytes));
  EXPECT_EQ(std::memcmp(bytes.data(), page_of(15).data(), kPageSize), 0);
  PD_ASSERT_OK(reader_->verify_extents(reader_->extents(ObjectId(9))));
}

TEST_F(EpochReaderTest, ACallbackCanStopTheReading) {
  int calls = 0;
  const Status status = reader_->for_each_record([&](ObjectId, uint32_t, Bytes) -> Status {
    ++calls;
    return Error(Code::kLimit, "enough");
  });
  EXPECT_EQ(status.error().code(), Code::kLimit);
  EXPECT_EQ(calls, 1);
}

TEST_F(EpochReaderTest, ManyThreadsReadWhileTheStoreGoesOn) {
  std::vector<std::thread> threads;
  std::array<bool, 4> good{};
  for (size_t thread = 0; thread < good.size(); ++thread) {
    threads.emplace_back([this, &good, thread] {
      bool all = true;
      for (int round = 0; round < 20; ++round) {
        for (const PageExtent& extent : reader_->extents(ObjectId(9))) {
          Page bytes(extent.count * kPageSize);
          all = all && reader_->read_pages(extent, bytes).ok() &&
                std::memcmp(bytes.data(), page_of(extent.first_page).data(), kPageSize) == 0;
        }
      }
      good[thread] = all;
    });
  }
  std::mt19937_64 random(1);
  testing::Model model;
  for (int epoch = 0; epoch < 30; ++epoch) {
    const auto writer = PD_ASSERT_OK(store_->begin_epoch({{}, Contents::kEmpty}));
    PD_ASSERT_OK(testing::change_at_random(random, 10, *writer, model));
    PD_ASSERT_OK(writer->commit({}));
    PD_ASSERT_OK(store_->drop(epochs_to_drop(store_->epochs(), {1, {}})));
  }
  for (std::thread& thread : threads) thread.join();
  for (const bool all : good) EXPECT_TRUE(all);
}

}  // namespace
}  // namespace perdure::store
