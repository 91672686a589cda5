#include "store/page_read.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>
#include <vector>

#include "base/checksum.h"
#include "kernel/device_file.h"

namespace perdure::store {
namespace {

// Blocks that lie between two that are needed, and cost less to read than another request.
constexpr uint64_t kNearBlocks = 4;

FramePlace frame_of(const Location& location) { return {location.segment, location.block}; }

// The extent has to lie within the frame whose table this is.
Status check_place(const SegmentSet& segments, const std::shared_ptr<const PageTable>& table,
                   const PageExtent& extent) {
  const bool compressed = (table->header.flags & kFrameCompressed) != 0;
  if (uint64_t{extent.location.slot} + extent.count > table->checksums.size() ||
      compressed != extent.location.compressed()) {
    return corrupt(PD_TRY(segments.open(extent.location.segment))->name(),
                   uint64_t{extent.location.block} * kBlockSize,
                   "an index refers to pages that this frame does not have");
  }
  return Ok{};
}

Result<std::shared_ptr<const PageTable>> table_of(const SegmentSet& segments,
                                                  const PageExtent& extent) {
  PD_ASSERT(!extent.location.absent());
  const auto table = PD_TRY(segments.read_page_table(frame_of(extent.location)));
  PD_TRY(check_place(segments, table, extent));
  return table;
}

Status check_pages(const File& file, const PageTable& table, const PageExtent& extent,
                   Bytes pages) {
  for (uint32_t at = 0; at < extent.count; ++at) {
    const uint32_t slot = extent.location.slot + at;
    if (checksum(pages.subspan(at * kPageSize, kPageSize)) != table.checksums[slot]) {
      return corrupt(
          file.name(), extent.location.advanced(at).byte_offset(),
          "stored page " + std::to_string(extent.first_page + at) + " fails its checksum");
    }
  }
  return Ok{};
}

Status read_exactly(const File& file, uint64_t offset, MutableBytes out) {
  if (PD_TRY(file.read_at(offset, out)) != out.size()) {
    return corrupt(file.name(), offset, "the file ends in a frame");
  }
  return Ok{};
}

struct FreeDecompressor {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// Decompresses one unit; raw has its full size.
Status read_unit(ZSTD_DCtx* decompressor, const File& file, uint64_t offset, uint32_t stored_bytes,
                 MutableBytes raw) {
  if (stored_bytes == raw.size()) return read_exactly(file, offset, raw);
  std::vector<uint8_t> stored(stored_bytes);
  PD_TRY(read_exactly(file, offset, stored));
  const size_t size =
      ZSTD_decompressDCtx(decompressor, raw.data(), raw.size(), stored.data(), stored.size());
  if (ZSTD_isError(size) != 0 || size != raw.size()) {
    return corrupt(file.name(), offset, "stored pages do not decompress");
  }
  return Ok{};
}

// Blocks of a segment.
struct Run {
  uint32_t segment;
  uint64_t begin, end;
};

// In the order of the disk, those near each other as one.
std::vector<Run> merged(std::vector<Run> runs) {
  std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) {
    return std::tie(a.segment, a.begin) < std::tie(b.segment, b.begin);
  });
  std::vector<Run> merged;
  for (const Run& run : runs) {
    const bool near = !merged.empty() && merged.back().segment == run.segment &&
                      run.begin <= merged.back().end + kNearBlocks;
    if (near) {
      merged.back().end = std::max(merged.back().end, run.end);
    } else {
      merged.push_back(run);
    }
  }
  return merged;
}

Status read_units(const File& file, const PageTable& table, const PageExtent& extent,
                  MutableBytes out) {
  uint64_t offset = (uint64_t{extent.location.block} + 1) * kBlockSize;
  const uint32_t first_slot = extent.location.slot, end_slot = first_slot + extent.count;
  const std::unique_ptr<ZSTD_DCtx, FreeDecompressor> decompressor(ZSTD_createDCtx());
  PD_ASSERT(decompressor != nullptr);
  std::vector<uint8_t> raw;
  for (uint32_t unit = 0; unit < table.unit_bytes.size(); ++unit) {
    const uint32_t begin = unit * kUnitPages;
    const uint32_t end = std::min<uint32_t>(begin + kUnitPages, table.header.pages);
    if (end > first_slot && begin < end_slot) {
      raw.resize((end - begin) * kPageSize);
      PD_TRY(read_unit(decompressor.get(), file, offset, table.unit_bytes[unit], raw));
      const uint32_t from = std::max(begin, first_slot), to = std::min(end, end_slot);
      std::memcpy(out.data() + (from - first_slot) * kPageSize,
                  raw.data() + (from - begin) * kPageSize, (to - from) * kPageSize);
    }
    offset += table.unit_bytes[unit];
  }
  return Ok{};
}

}  // namespace

Status read_extent(const SegmentSet& segments, const PageExtent& extent, MutableBytes out) {
  PD_ASSERT(out.size() == extent.count * kPageSize);
  const auto table = PD_TRY(table_of(segments, extent));
  const std::shared_ptr<File> file = PD_TRY(segments.open(extent.location.segment));
  if (extent.location.compressed()) {
    PD_TRY(read_units(*file, *table, extent, out));
  } else {
    PD_TRY(read_exactly(*file, extent.location.byte_offset(), out));
  }
  return check_pages(*file, *table, extent, out);
}

Status stream_extent(const SegmentSet& segments, const PageExtent& extent, MutableBytes out) {
  PD_ASSERT(out.size() == extent.count * kPageSize && !extent.location.absent());
  const FramePlace place = frame_of(extent.location);
  const std::shared_ptr<File> file = PD_TRY(segments.open(extent.location.segment));
  std::shared_ptr<const PageTable> table = segments.known_page_table(place);
  // The frame's header lies before its first page.
  alignas(kBlockSize) std::array<uint8_t, kBlockSize> block;
  const bool with_header = table == nullptr && extent.location.slot == 0;
  const MutableBytes head = with_header ? MutableBytes(block) : MutableBytes();
  if (extent.count < kStreamPagesMin || extent.location.compressed() ||
      !file->read_directly(extent.location.byte_offset() - head.size(), head, out)) {
    return read_extent(segments, extent, out);
  }
  if (with_header) table = PD_TRY(segments.take_page_table(place, block));
  if (table == nullptr) table = PD_TRY(segments.read_page_table(place));
  PD_TRY(check_place(segments, table, extent));
  return check_pages(*file, *table, extent, out);
}

void start_reading(const SegmentSet& segments, std::span<const PageExtent> extents) {
  std::vector<Run> runs;
  for (const PageExtent& extent : extents) {
    const Location& location = extent.location;
    if (location.absent() || location.compressed()) continue;
    const uint64_t first = location.byte_offset() / kBlockSize;
    runs.push_back({location.segment, first, first + extent.count});
    const FramePlace frame = frame_of(location);
    if (segments.known_page_table(frame) != nullptr) continue;
    runs.push_back({frame.segment, frame.block, uint64_t{frame.block} + 1});
  }
  for (const Run& run : merged(std::move(runs))) {
    const auto file = segments.open(run.segment);
    if (!file.ok() || (*file)->descriptor() < 0) continue;  // reading will tell
    kernel::start_reading((*file)->descriptor(), run.begin * kBlockSize,
                          (run.end - run.begin) * kBlockSize);
  }
}

Status check_extent_bytes(const SegmentSet& segments, const PageExtent& extent, Bytes pages) {
  PD_ASSERT(pages.size() == extent.count * kPageSize);
  const auto table = PD_TRY(table_of(segments, extent));
  return check_pages(*PD_TRY(segments.open(extent.location.segment)), *table, extent, pages);
}

Result<std::vector<bool>> same_pages(const SegmentSet& segments, const PageExtent& extent,
                                     Bytes pages) {
  PD_ASSERT(pages.size() == extent.count * kPageSize);
  const auto table = PD_TRY(table_of(segments, extent));
  std::vector<bool> same(extent.count);
  for (uint32_t at = 0; at < extent.count; ++at) {
    same[at] = checksum(pages.subspan(at * kPageSize, kPageSize)) ==
               table->checksums[extent.location.slot + at];
  }
  return same;
}

}  // namespace perdure::store
