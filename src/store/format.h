// The store's bytes on disk: docs/format/store.md is the law, these structs are its tables. They
// are copied to and from blocks with load_le/store_le and checked by decode_*; nothing else looks
// at raw headers.
#pragma once

#include <compare>
#include <cstdint>

#include "base/limits.h"

namespace perdure::store {

inline constexpr uint32_t kFormatVersion = 1;
inline constexpr uint64_t kBlockSize = 4096;
static_assert(kBlockSize == kPageSize,
              "one page is one block, so that stored pages are page-aligned");
inline constexpr uint64_t kSegmentMagic = 0x0a45'5255'4452'4550;  // "PERDURE\n"
inline constexpr uint64_t kAnchorMagic = 0x726f'6863'6e41'6450;   // "PdAnchor"
inline constexpr uint32_t kFrameMagic = 0x7246'6450;              // "PdFr"
inline constexpr uint32_t kAnchorBlock = 1;                       // and the next one, in turn
inline constexpr uint32_t kFirstFrameBlock = 4;  // header, two anchors, one reserved
inline constexpr uint32_t kFramePagesMax = 255;  // with its header block, a frame of pages is 1 MiB
inline constexpr uint32_t kUnitPages =
    16;  // 64 KiB compress nearly as well as more, and one page costs 16

enum class FrameKind : uint16_t { kPages = 1, kMetadata = 2, kCommit = 3, kCatalog = 4 };
inline constexpr uint16_t kFrameCompressed = 1;
inline constexpr uint16_t kExtentCompressed = 1;
inline constexpr uint32_t kEntryForget = 1;
inline constexpr uint32_t kEntryRecord = 2;
inline constexpr uint32_t kAnchorClean = 1;

// Where a frame lies. Segment 0 is "nowhere".
struct FramePlace {
  uint32_t segment = 0;
  uint32_t block = 0;
  auto operator<=>(const FramePlace&) const = default;
  bool none() const { return segment == 0; }
};

struct SegmentHeader {
  uint64_t magic;
  uint32_t version, number;
  uint64_t store_id, created_ns;
  FramePlace catalog;
  uint32_t blocks, zero;
  uint64_t zero2, checksum;
};
struct Anchor {
  uint64_t magic, store_id, sequence;
  FramePlace catalog;
  uint32_t end_block, flags;
  uint64_t zero[2], checksum;
};
struct FrameHeader {
  uint32_t magic;
  uint16_t kind, flags;
  FramePlace place;
  uint64_t epoch;
  uint32_t blocks, stored_bytes, raw_bytes, pages;
  uint64_t payload_checksum, store_id, checksum;
};
static_assert(sizeof(SegmentHeader) == 64 && sizeof(Anchor) == 64 && sizeof(FrameHeader) == 64);

struct MetadataHead {
  uint32_t records_bytes, index_bytes, commit_bytes, zero;
};
struct RecordPlace {
  FramePlace frame;
  uint32_t offset = 0, length = 0;
  bool operator==(const RecordPlace&) const = default;
};
struct IndexEntry {
  uint64_t object;
  uint32_t kind, flags;
  RecordPlace record;
  uint32_t extents, zero;
};
struct CommitNumbers {
  uint64_t epoch, parent, captured_ns, committed_ns, bytes_written, records_changed, pages_changed;
};
struct CommitBody {
  CommitNumbers numbers;
  FramePlace base;
  uint32_t depth, index_frames, verify_frames, note_bytes;
  uint64_t chain_bytes, zero;
};
struct VerifyEntry {
  FramePlace place;
  uint64_t header_checksum;
};
struct CatalogHead {
  uint64_t sequence, next_epoch;
  uint32_t entries, zero;
};
struct CatalogEntry {
  CommitNumbers numbers;
  FramePlace commit;
  uint32_t depth, note_bytes;
  uint64_t chain_bytes;
};
static_assert(sizeof(MetadataHead) == 16 && sizeof(IndexEntry) == 40 && sizeof(CommitBody) == 96);
static_assert(sizeof(VerifyEntry) == 16 && sizeof(CatalogHead) == 24 && sizeof(CatalogEntry) == 80);

// Limits of the format, with their reasons.
// A frame holds at most one record of the largest size, or a catalog.
inline constexpr uint64_t kFrameBytesMax = kRecordBytesMax + (1u << 20);
inline constexpr uint64_t kSegmentBytesMin = 4u << 20;
inline constexpr uint64_t kSegmentBytesMax = 64u << 20;
// Whatever a segment header claims, larger segments are not believed.
inline constexpr uint64_t kSegmentBytesLimit = 1u << 30;
// Up to here an epoch is verified at recovery (2 ms, from the disk 10) rather than synced before
// its commit.
inline constexpr uint64_t kVerifyBytesMax = 2u << 20;
inline constexpr uint32_t kVerifyFramesMax = 64;
inline constexpr uint32_t kNoteBytesMax = 64u << 10;
inline constexpr uint32_t kChainMax = 256;
inline constexpr uint32_t kChainUsual = 16;
// Pieces of half a megabyte: an index of 8 GiB.
inline constexpr uint32_t kIndexFramesMax = 16384;
// At a hundred a second, 90,000 years.
inline constexpr uint64_t kEpochNumberMax = uint64_t{1} << 48;
inline constexpr uint32_t kEpochsMax = 100'000;
// Page numbers are addresses or offsets of 64 bits, divided by the page size.
inline constexpr uint64_t kPagesEnd = uint64_t{1} << (64 - kPageShift);

constexpr uint64_t blocks_of(uint64_t bytes) { return (bytes + kBlockSize - 1) / kBlockSize; }
constexpr uint64_t aligned8(uint64_t bytes) { return (bytes + 7) & ~uint64_t{7}; }

}  // namespace perdure::store
