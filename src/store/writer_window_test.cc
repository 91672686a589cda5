#include <gtest/gtest.h>

#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Model;
using testing::Page;
using testing::page_of;

// As an engine does it: pages are read into the writer's own buffer and put from there, in runs.
// Pages of seeds that `zero` divides are zeros.
void put_in_place(EpochWriter& writer, Model& model, uint64_t first, uint64_t count, uint64_t seed,
                  uint64_t zero) {
  while (count != 0) {
    const MutableBytes room = PD_ASSERT_OK(writer.page_buffer());
    const uint64_t pages = std::min<uint64_t>(count, room.size() / kPageSize);
    for (uint64_t at = 0; at < pages; ++at) {
      const bool absent = (seed + at) % zero == 0;
      const Page page = absent ? Page(kPageSize) : page_of(seed + at);
      std::memcpy(room.data() + at * kPageSize, page.data(), kPageSize);
      model.pages[1].erase(first + at);
      if (!absent) model.pages[1][first + at] = page;
    }
    const uint64_t half = pages / 2;
    PD_ASSERT_OK(writer.put_pages(ObjectId(1), first, room.first(half * kPageSize)));
    PD_ASSERT_OK(writer.put_pages(ObjectId(1), first + half,
                                  room.subspan(half * kPageSize, (pages - half) * kPageSize)));
    first += pages;
    count -= pages;
    seed += pages;
  }
}

class WriterWindow : public ::testing::TestWithParam<CompressionKind> {
 protected:
  WriterWindow() {
    Options options = testing::options_on(disk_, 4 << 20);
    options.compression = GetParam();
    store_ = PD_ASSERT_OK(Store::open(options));
  }
  void expect_stored(Epoch epoch) {
    const auto reader = PD_ASSERT_OK(store_->read_epoch(epoch));
    EXPECT_EQ(PD_ASSERT_OK(testing::read_model(*reader)), model_);
  }

  std::shared_ptr<SimDisk> disk_ = SimDisk::create(1);
  std::unique_ptr<Store> store_;
  Model model_;
};

// 40 MiB are several segments and more than may wait for the disk.
TEST_P(WriterWindow, NothingTouchesTheDiskInIt) {
  for (uint64_t epoch = 1; epoch <= 3; ++epoch) {
    const auto writer = PD_ASSERT_OK(store_->begin_epoch());
    put_in_place(*writer, model_, 0, 300, epoch * 100'000, 1000);
    PD_ASSERT_OK(writer->make_room(1 << 20));  // less than comes
    const uint64_t before = disk_->operations();
    writer->enter_window();
    put_in_place(*writer, model_, 1000, 10 << 10, epoch * 200'000, epoch == 2 ? 5 : 1'000'000);
    EXPECT_EQ(disk_->operations(), before);
    PD_ASSERT_OK(writer->leave_window());
    put_in_place(*writer, model_, 900, 200, epoch * 300'000, 3);
    PD_ASSERT_OK(writer->commit({}));
    expect_stored(Epoch(epoch));
  }
}

TEST_P(WriterWindow, WhatIsPutInItMeansTheSame) {
  std::mt19937_64 random(7);
  for (uint64_t epoch = 1; epoch <= 40; ++epoch) {
    const auto writer = PD_ASSERT_OK(store_->begin_epoch());
    testing::ModelWriter both(*writer, model_);
    if (random() % 2 == 0) PD_ASSERT_OK(writer->make_room(random() % (3 << 20)));
    writer->enter_window();
    for (int step = 0; step < 60; ++step) {
      const uint64_t object = 1 + random() % 3, first = random() % 900;
      switch (random() % 4) {
        case 0:
          PD_ASSERT_OK(both.erase_pages(object, first, random() % 100));
          break;
        case 1:
          PD_ASSERT_OK(both.share_pages(object, first, 1 + random() % 300, 1 + random() % 3,
                                        random() % 900));
          break;
        default:
          for (uint64_t page = first; page < first + random() % 20; ++page) {
            const bool zero = random() % 5 == 0;
            PD_ASSERT_OK(both.put_page(object, page, zero ? Page(kPageSize) : page_of(random())));
          }
      }
    }
    PD_ASSERT_OK(writer->leave_window());
    PD_ASSERT_OK(writer->commit({}));
    expect_stored(Epoch(epoch));
  }
}

TEST_P(WriterWindow, RoomThatWasMadeIsMemoryThatIsThere) {
  const auto writer = PD_ASSERT_OK(store_->begin_epoch());
  put_in_place(*writer, model_, 0, 10, 1, 1000);
  constexpr uint64_t kRoom = uint64_t{3} << 20;
  PD_ASSERT_OK(writer->make_room(kRoom));
  writer->enter_window();
  for (uint64_t done = 0; done < kRoom;) {
    const MutableBytes room = PD_ASSERT_OK(writer->page_buffer());
    EXPECT_TRUE(testing::is_resident(room)) << done;
    put_in_place(*writer, model_, 1000 + done / kPageSize, room.size() / kPageSize, 1, 1'000'000);
    done += room.size();
  }
  PD_ASSERT_OK(writer->leave_window());
  PD_ASSERT_OK(writer->commit({}));
  expect_stored(Epoch(1));
}

TEST_P(WriterWindow, AnEpochGivenUpInItLeavesNothing) {
  auto writer = PD_ASSERT_OK(store_->begin_epoch());
  put_in_place(*writer, model_, 0, 500, 1, 1000);
  PD_ASSERT_OK(writer->commit({}));
  const Model before = model_;
  writer = PD_ASSERT_OK(store_->begin_epoch());
  PD_ASSERT_OK(writer->make_room(1 << 20));
  writer->enter_window();
  put_in_place(*writer, model_, 0, 700, 5000, 1000);
  writer.reset();
  model_ = before;
  writer = PD_ASSERT_OK(store_->begin_epoch());
  PD_ASSERT_OK(writer->commit({}));
  expect_stored(Epoch(2));
}

TEST_P(WriterWindow, AFailureBehindItIsToldAndNothingIsCommitted) {
  const auto writer = PD_ASSERT_OK(store_->begin_epoch());
  PD_ASSERT_OK(writer->make_room(0));
  writer->enter_window();
  put_in_place(*writer, model_, 0, 5000, 1, 1'000'000);
  disk_->fail_at(disk_->operations(), Code::kFull);
  const Status left = writer->leave_window();
  ASSERT_FALSE(left.ok());
  EXPECT_EQ(left.error().code(), Code::kFull);
  EXPECT_FALSE(writer->commit({}).ok());
}

INSTANTIATE_TEST_SUITE_P(Compression, WriterWindow,
                         ::testing::Values(CompressionKind::kNone, CompressionKind::kZstd));

}  // namespace
}  // namespace perdure::store
