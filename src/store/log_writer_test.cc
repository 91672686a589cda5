#include "store/log_writer.h"

#include <gtest/gtest.h>

#include "store/frame.h"
#include "store/page_read.h"
#include "store/sim_device.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Page;
using testing::page_of;

constexpr uint64_t kStore = 5;

class LogWriterTest : public ::testing::TestWithParam<Compress> {
 protected:
  LogWriter::Setup setup() {
    LogWriter::Setup setup;
    setup.device = disk_->device();
    setup.clock = &clock_;
    setup.store_id = kStore;
    setup.compress = GetParam();
    setup.thread = IoQueue::Thread::kNone;
    return setup;
  }
  void wait(LogWriter& log) {
    PD_ASSERT_OK(log.queue_sync());
    PD_ASSERT_OK(log.queue().wait(log.queue().now()));
  }

  std::shared_ptr<SimDisk> disk_ = SimDisk::create(1);
  SystemClock clock_;
};

TEST_P(LogWriterTest, PagesAreFoundWhereItSaysTheyAre) {
  LogWriter log(setup());
  std::vector<uint8_t> bytes;
  for (uint64_t page = 0; page < 2000; ++page) {
    const Page one = page_of(page);
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  std::map<uint64_t, PageExtent> placed;
  for (uint64_t page = 0; page < 2000;) {
    const auto part = PD_ASSERT_OK(log.append_pages(
        Epoch(1),
        Bytes(bytes).subspan(page * kPageSize, std::min<uint64_t>(37, 2000 - page) * kPageSize)));
    placed[page] = {page, part.count, part.location};
    page += part.count;
  }
  wait(log);
  const SegmentSet segments(disk_->device(), kStore);
  for (const auto& [page, extent] : placed) {
    Page out(extent.count * kPageSize);
    PD_ASSERT_OK(read_extent(segments, extent, out));
    ASSERT_EQ(std::memcmp(out.data(), bytes.data() + page * kPageSize, out.size()), 0) << page;
  }
  EXPECT_GT(log.end().segment, 1u);  // 8 MB into segments of 4
}

TEST_P(LogWriterTest, FramesLargerThanABufferAreWrittenWhole) {
  LogWriter log(setup());
  std::vector<uint8_t> payload(5 << 20);
  std::mt19937_64 random(1);
  for (uint8_t& byte : payload) byte = static_cast<uint8_t>(random());
  const FramePlace small =
      PD_ASSERT_OK(log.append(FrameKind::kMetadata, Epoch(1), Bytes(payload).first(10)));
  const FramePlace large = PD_ASSERT_OK(log.append(FrameKind::kMetadata, Epoch(1), payload));
  wait(log);
  const SegmentSet segments(disk_->device(), kStore);
  EXPECT_EQ(PD_ASSERT_OK(segments.read_metadata(small)).payload.size(), 10u);
  EXPECT_EQ(PD_ASSERT_OK(segments.read_metadata(large)).payload, payload);
  EXPECT_EQ(segments.read_frame(large, FrameKind::kCatalog).error().code(), Code::kCorrupt);
}

TEST(LogWriter, OnlyWhatIsNeitherLittleNorVeryMuchIsLeftInThePageCache) {
  constexpr uint64_t kMebibyte = 1u << 20;
  for (const uint64_t mebibytes : {0, 1, 8, 1025, 10'000})
    EXPECT_EQ(LogWriter::way_behind(mebibytes * kMebibyte), Through::kDirect) << mebibytes;
  for (const uint64_t mebibytes : {9, 200, 1024})
    EXPECT_EQ(LogWriter::way_behind(mebibytes * kMebibyte), Through::kCache) << mebibytes;
}

TEST_P(LogWriterTest, RewindingGivesSegmentsBack) {
  LogWriter log(setup());
  PD_ASSERT_OK(log.append(FrameKind::kMetadata, Epoch(1), bytes_of(uint64_t{1})));
  const LogWriter::Mark mark = PD_ASSERT_OK(log.mark());
  const FramePlace end = log.end();
  std::vector<uint8_t> pages;
  for (uint64_t page = 0; page < 256; ++page) {
    const Page one = page_of(page);
    pages.insert(pages.end(), one.begin(), one.end());
  }
  for (int at = 0; at < 30; ++at) {
    for (Bytes left = pages; !left.empty();) {
      left = left.subspan(PD_ASSERT_OK(log.append_pages(Epoch(2), left)).count * kPageSize);
    }
  }
  EXPECT_GT(disk_->names().size(), 3u);
  PD_ASSERT_OK(log.rewind(mark));
  EXPECT_EQ(disk_->names().size(), 1u);
  EXPECT_EQ(log.end(), end);
  EXPECT_EQ(PD_ASSERT_OK(log.append(FrameKind::kMetadata, Epoch(2), bytes_of(uint64_t{2}))), end);
}

TEST_P(LogWriterTest, AFullDiskIsToldWithItsDirectoryAndARemedy) {
  disk_->set_capacity(kSegmentBytesMin);
  LogWriter log(setup());
  PD_ASSERT_OK(log.begin_segment(0));
  const std::vector<uint8_t> payload(6 << 20);
  std::vector<uint8_t> noise(payload);
  std::mt19937_64 random(1);
  for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random());
  const auto placed = log.append(FrameKind::kMetadata, Epoch(1), noise);
  ASSERT_FALSE(placed.ok());
  EXPECT_EQ(placed.error().code(), Code::kFull);
  EXPECT_NE(placed.error().message().find("simulated"), std::string::npos);
  EXPECT_FALSE(placed.error().remedy().empty());
  EXPECT_EQ(disk_->names().size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Compression, LogWriterTest,
                         ::testing::Values(Compress::kNo, Compress::kYes));

}  // namespace
}  // namespace perdure::store
