#include "store/frame.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/checksum.h"
#include "store/sim_device.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

constexpr uint64_t kStore = 99;
const FramePlace kPlace{1, 4};

FrameHeader header_of(Bytes payload) {
  FrameHeader header{};
  header.magic = kFrameMagic;
  header.kind = static_cast<uint16_t>(FrameKind::kMetadata);
  header.place = kPlace;
  header.blocks = static_cast<uint32_t>(blocks_of(sizeof(FrameHeader) + payload.size()));
  header.stored_bytes = header.raw_bytes = static_cast<uint32_t>(payload.size());
  header.payload_checksum = checksum(payload);
  header.store_id = kStore;
  return header;
}

Result<FrameHeader> decoded(const FrameHeader& header) {
  uint8_t bytes[sizeof(FrameHeader)];
  encode_frame_header(header, bytes);
  return decode_frame_header(bytes, kPlace, kStore, "file");
}

TEST(Frame, AHeaderIsReadAsItWasWritten) {
  const auto header = decoded(header_of(bytes_of(uint64_t{5})));
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->stored_bytes, 8u);
}

TEST(Frame, EveryFlippedBitOfAHeaderIsNoticed) {
  uint8_t bytes[sizeof(FrameHeader)];
  encode_frame_header(header_of({}), bytes);
  for (size_t bit = 0; bit < sizeof(bytes) * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(decode_frame_header(bytes, kPlace, kStore, "file").ok()) << bit;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
}

TEST(Frame, AFrameElsewhereOrOfAnotherStoreIsRefused) {
  FrameHeader header = header_of({});
  header.place.block = 5;
  EXPECT_EQ(decoded(header).error().code(), Code::kCorrupt);
  header = header_of({});
  header.store_id = 98;
  EXPECT_EQ(decoded(header).error().code(), Code::kCorrupt);
}

TEST(Frame, AnUnknownKindOrFlagIsANewerVersion) {
  FrameHeader header = header_of({});
  header.kind = 5;
  EXPECT_EQ(decoded(header).error().code(), Code::kNewer);
  header = header_of({});
  header.flags = 2;
  EXPECT_EQ(decoded(header).error().code(), Code::kNewer);
}

TEST(Frame, ImpossibleSizesAreRefusedBeforeAnythingIsAllocated) {
  FrameHeader header = header_of({});
  header.stored_bytes = header.raw_bytes = 4033;  // one more than one block has room for
  EXPECT_EQ(decoded(header).error().code(), Code::kCorrupt);
  header = header_of({});
  header.blocks = 0;
  EXPECT_EQ(decoded(header).error().code(), Code::kCorrupt);
  header = header_of({});
  header.blocks = UINT32_MAX;
  EXPECT_EQ(decoded(header).error().code(), Code::kCorrupt);
  header = header_of({});
  header.flags = kFrameCompressed;
  header.raw_bytes = UINT32_MAX;
  EXPECT_EQ(decoded(header).error().code(), Code::kCorrupt);
  header = header_of({});
  header.kind = static_cast<uint16_t>(FrameKind::kPages);
  header.pages = 256;
  EXPECT_EQ(decoded(header).error().code(), Code::kCorrupt);
}

TEST(Frame, ACompressedPayloadThatIsNoneIsRefused) {
  const uint8_t garbage[100] = {1, 2, 3};
  FrameHeader header = header_of(garbage);
  header.flags = kFrameCompressed;
  header.raw_bytes = 1000;
  EXPECT_EQ(decode_payload(header, garbage, "file").error().code(), Code::kCorrupt);
  header.raw_bytes = 65u << 20;  // no 100 bytes hold so much
  EXPECT_EQ(decode_payload(header, garbage, "file").error().code(), Code::kCorrupt);
}

TEST(Frame, APageTableOfTheWrongSizeIsRefused) {
  const std::vector<uint8_t> table(3 * sizeof(uint64_t));
  FrameHeader header = header_of(table);
  header.kind = static_cast<uint16_t>(FrameKind::kPages);
  header.pages = 3;
  header.blocks = 4;
  EXPECT_TRUE(decode_page_table(header, table, "file").ok());
  header.blocks = 5;
  EXPECT_EQ(decode_page_table(header, table, "file").error().code(), Code::kCorrupt);
  header.blocks = 3;
  header.pages = 2;
  EXPECT_EQ(decode_page_table(header, table, "file").error().code(), Code::kCorrupt);
}

TEST(Frame, SegmentNamesAreNumbers) {
  EXPECT_EQ(segment_name(7), "segment-00000007");
  EXPECT_EQ(segment_number("segment-00000007"), 7u);
  EXPECT_EQ(segment_number(segment_name(UINT32_MAX)), UINT32_MAX);
  for (const char* name : {"segment-", "segment-7", "segment-0000000x", "segment-00000007.tmp",
                           "lock", "segment-9999999999", "segment-99999999999"}) {
    EXPECT_EQ(segment_number(name), 0u) << name;
  }
}

TEST(Frame, AMissingSegmentIsNamed) {
  const SegmentSet segments(SimDisk::create(1)->device(), kStore);
  const auto file = segments.open(3);
  EXPECT_EQ(file.error().code(), Code::kCorrupt);
  EXPECT_NE(file.error().message().find("segment-00000003"), std::string::npos);
}

size_t open_files() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

TEST(SegmentSet, ALargeStoreDoesNotTakeADescriptorForEachSegment) {
  const testing::TemporaryDirectory directory;
  const std::shared_ptr<Device> device = linux_device(directory.path());
  for (uint32_t number = 1; number <= 200; ++number) {
    PD_ASSERT_OK(device->open(segment_name(number), FileMode::kCreate));
  }
  const size_t before = open_files();
  const SegmentSet some(device, 1);
  for (uint32_t number = 1; number <= 200; ++number) PD_ASSERT_OK(some.open(number));
  EXPECT_LE(open_files(), before + SegmentSet::kFilesMax);
  const SegmentSet all(device, 1, SegmentSet::Keep::kAll);  // for a reader, whatever is deleted
  for (uint32_t number = 1; number <= 200; ++number) {
    PD_ASSERT_OK(all.open(number));
    PD_ASSERT_OK(device->remove(segment_name(number)));
  }
  for (uint32_t number = 1; number <= 200; ++number) PD_ASSERT_OK(all.open(number));
}

}  // namespace
}  // namespace perdure::store
