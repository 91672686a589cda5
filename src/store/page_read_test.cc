#include "store/page_read.h"

#include <gtest/gtest.h>

#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Page;
using testing::page_of;

class PageReadTest : public ::testing::TestWithParam<CompressionKind> {
 protected:
  void SetUp() override {
    Options options = testing::options_on(disk_);
    options.compression = GetParam();
    const auto store = PD_ASSERT_OK(Store::open(options));
    const auto writer = PD_ASSERT_OK(store->begin_epoch());
    for (uint64_t page = 0; page < 40; ++page) {
      PD_ASSERT_OK(writer->put_pages(ObjectId(1), page, page_of(page)));
    }
    PD_ASSERT_OK(writer->commit({}));
    const auto reader = PD_ASSERT_OK(store->read_epoch(Epoch(1)));
    const auto extents = reader->extents(ObjectId(1));
    ASSERT_EQ(extents.size(), 1u);
    extent_ = extents[0];
    store_id_ = load_le<uint64_t>(disk_->content("segment-00000001").data() +
                                  offsetof(SegmentHeader, store_id));
  }

  std::shared_ptr<SimDisk> disk_ = SimDisk::create(1);
  PageExtent extent_;
  uint64_t store_id_ = 0;
};

TEST_P(PageReadTest, EveryPartOfAFrameIsRead) {
  const SegmentSet segments(disk_->device(), store_id_);
  for (uint32_t first = 0; first < 40; first += 3) {
    for (uint32_t count = 1; first + count <= 40; count += 7) {
      Page bytes(count * kPageSize);
      PD_ASSERT_OK(read_extent(segments, extent_.clipped(first, first + count), bytes));
      for (uint32_t at = 0; at < count; ++at) {
        const Page expected = page_of(first + at);
        ASSERT_EQ(std::memcmp(bytes.data() + at * kPageSize, expected.data(), kPageSize), 0);
      }
    }
  }
}

TEST_P(PageReadTest, PagesThatTheFrameDoesNotHaveAreRefused) {
  const SegmentSet segments(disk_->device(), store_id_);
  Page bytes(kPageSize);
  PageExtent behind{0, 1, extent_.location.advanced(40)};
  EXPECT_EQ(read_extent(segments, behind, bytes).error().code(), Code::kCorrupt);
  PageExtent otherwise = extent_.clipped(0, 1);
  otherwise.location.flags ^= kExtentCompressed;
  EXPECT_EQ(read_extent(segments, otherwise, bytes).error().code(), Code::kCorrupt);
  PageExtent elsewhere = extent_.clipped(0, 1);
  ++elsewhere.location.block;
  EXPECT_EQ(read_extent(segments, elsewhere, bytes).error().code(), Code::kCorrupt);
}

TEST_P(PageReadTest, BytesReadOtherwiseAreChecked) {
  const SegmentSet segments(disk_->device(), store_id_);
  const PageExtent one = extent_.clipped(7, 8);
  Page bytes = page_of(7);
  PD_ASSERT_OK(check_extent_bytes(segments, one, bytes));
  bytes[4095] ^= 0x80;
  const Status status = check_extent_bytes(segments, one, bytes);
  EXPECT_EQ(status.error().code(), Code::kCorrupt);
  EXPECT_NE(status.error().message().find("page 7"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Compression, PageReadTest,
                         ::testing::Values(CompressionKind::kNone, CompressionKind::kZstd));

}  // namespace
}  // namespace perdure::store
