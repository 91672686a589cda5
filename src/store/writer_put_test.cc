#include <gtest/gtest.h>

#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Page;
using testing::page_of;

TEST(WriterPut, RunsOfZerosAndOthersAreToldApart) {
  const auto disk = SimDisk::create(1);
  const auto store = PD_ASSERT_OK(Store::open(testing::options_on(disk, 1 << 20)));
  const auto writer = PD_ASSERT_OK(store->begin_epoch());
  std::mt19937_64 random(1);
  std::map<uint64_t, Page> expected;
  uint64_t first = 0;
  while (first < 3000) {
    const uint64_t count = 1 + random() % 400;
    Page bytes(count * kPageSize);
    for (uint64_t at = 0; at < count; ++at) {
      if (random() % 8 < 3) continue;
      const Page page = page_of(first + at);
      std::memcpy(bytes.data() + at * kPageSize, page.data(), kPageSize);
      expected[first + at] = page;
    }
    PD_ASSERT_OK(writer->put_pages(ObjectId(1), first, bytes));
    first += count;
  }
  const EpochInfo info = PD_ASSERT_OK(writer->commit({}));
  EXPECT_EQ(info.pages_changed, expected.size());
  const auto reader = PD_ASSERT_OK(store->read_epoch(info.epoch));
  EXPECT_EQ(PD_ASSERT_OK(testing::read_model(*reader)).pages.at(1), expected);
}

TEST(WriterPut, ZerosAreStoredWhereTheyMeanSomething) {
  const auto disk = SimDisk::create(1);
  const auto store = PD_ASSERT_OK(Store::open(testing::options_on(disk, 1 << 20)));
  auto writer = PD_ASSERT_OK(store->begin_epoch());
  const Page zeros(3 * kPageSize);
  PD_ASSERT_OK(writer->put_pages(ObjectId(1), 10, zeros, Zeros::kStored));
  PD_ASSERT_OK(writer->put_pages(ObjectId(1), 20, zeros, Zeros::kAbsent));
  EXPECT_EQ(PD_ASSERT_OK(writer->commit({})).pages_changed, 3u);
  writer = PD_ASSERT_OK(store->begin_epoch());
  PD_ASSERT_OK(writer->put_pages(ObjectId(1), 11, zeros, Zeros::kAbsent));
  PD_ASSERT_OK(writer->commit({}));
  const auto pages_of = [&](uint64_t epoch) {
    uint64_t pages = 0;
    for (const PageExtent& extent :
         PD_ASSERT_OK(store->read_epoch(Epoch(epoch)))->extents(ObjectId(1))) {
      EXPECT_EQ(extent.first_page, 10u);
      pages += extent.count;
    }
    return pages;
  };
  EXPECT_EQ(pages_of(1), 3u);
  EXPECT_EQ(pages_of(2), 1u);
}

TEST(WriterPut, TheBufferIsReusedWithoutACopyOrAGap) {
  const auto disk = SimDisk::create(1);
  const auto store = PD_ASSERT_OK(Store::open(testing::options_on(disk, 4 << 20)));
  const auto writer = PD_ASSERT_OK(store->begin_epoch());
  const MutableBytes first = PD_ASSERT_OK(writer->page_buffer());
  std::memcpy(first.data(), page_of(1).data(), kPageSize);
  PD_ASSERT_OK(writer->put_pages(ObjectId(1), 1, first.first(kPageSize)));
  const MutableBytes second = PD_ASSERT_OK(writer->page_buffer());
  EXPECT_EQ(second.data(), first.data() + kPageSize);
  EXPECT_EQ(second.size(), first.size() - kPageSize);
}

}  // namespace
}  // namespace perdure::store
