#include "store/frame.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "base/checksum.h"

namespace perdure::store {
namespace {

constexpr size_t kNameDigits = 8;
// Page tables kept: 2 MiB of checksums, for 1 GiB of pages.
constexpr size_t kTablesMax = 1024;
constexpr char kNamePrefix[] = "segment-";

bool sizes_plausible(const FrameHeader& header) {
  if (header.blocks == 0 || header.blocks > blocks_of(kFrameBytesMax)) return false;
  const uint64_t room = uint64_t{header.blocks} * kBlockSize - sizeof(FrameHeader);
  if (header.stored_bytes > room || header.raw_bytes > kFrameBytesMax) return false;
  if (header.kind == static_cast<uint16_t>(FrameKind::kPages)) {
    return header.pages >= 1 && header.pages <= kFramePagesMax &&
           header.stored_bytes <= kBlockSize - sizeof(FrameHeader);
  }
  const bool compressed = (header.flags & kFrameCompressed) != 0;
  return header.pages == 0 && (compressed || header.stored_bytes == header.raw_bytes);
}

}  // namespace

std::string segment_name(uint32_t number) {
  char text[24];
  std::snprintf(text, sizeof(text), "%s%08u", kNamePrefix, number);
  return text;
}

uint32_t segment_number(const std::string& name) {
  constexpr size_t kPrefix = sizeof(kNamePrefix) - 1;
  if (name.size() < kPrefix + kNameDigits || name.size() > kPrefix + 10) return 0;
  if (name.compare(0, kPrefix, kNamePrefix) != 0) return 0;
  uint64_t number = 0;
  for (size_t at = kPrefix; at < name.size(); ++at) {
    if (name[at] < '0' || name[at] > '9') return 0;
    number = number * 10 + static_cast<uint64_t>(name[at] - '0');
  }
  return number <= UINT32_MAX ? static_cast<uint32_t>(number) : 0;
}

std::string place_name(FramePlace place) {
  return segment_name(place.segment) + " at byte " +
         std::to_string(uint64_t{place.block} * kBlockSize);
}

Error corrupt(const std::string& file, uint64_t offset, const std::string& what) {
  return Error(Code::kCorrupt, file + " at byte " + std::to_string(offset) + ": " + what)
      .with_remedy("use another epoch; scrub lists which ones are damaged");
}

Result<FrameHeader> decode_frame_header(Bytes bytes, FramePlace place, uint64_t store_id,
                                        const std::string& file) {
  const uint64_t offset = uint64_t{place.block} * kBlockSize;
  if (bytes.size() < sizeof(FrameHeader)) return corrupt(file, offset, "the file ends in a frame");
  const auto header = load_le<FrameHeader>(bytes.data());
  if (header.magic != kFrameMagic) return corrupt(file, offset, "no frame begins here");
  const uint64_t sum = checksum(bytes.first(offsetof(FrameHeader, checksum)));
  if (header.checksum != sum) return corrupt(file, offset, "a frame header fails its checksum");
  if (header.store_id != store_id) return corrupt(file, offset, "a frame of another store");
  if (header.place != place) return corrupt(file, offset, "a frame that belongs elsewhere");
  if (header.kind < static_cast<uint16_t>(FrameKind::kPages) ||
      header.kind > static_cast<uint16_t>(FrameKind::kCatalog) ||
      (header.flags & ~kFrameCompressed) != 0) {
    return Error(Code::kNewer, file + " at byte " + std::to_string(offset) + ": a frame of kind " +
                                   std::to_string(header.kind) + ", flags " +
                                   std::to_string(header.flags) +
                                   ", which this version does not know")
        .with_remedy("use the version that wrote the store, or a newer one");
  }
  if (!sizes_plausible(header)) return corrupt(file, offset, "a frame header of impossible sizes");
  return header;
}

void encode_frame_header(FrameHeader header, uint8_t* out) {
  store_le(out, header);
  header.checksum = checksum(Bytes(out, offsetof(FrameHeader, checksum)));
  store_le(out, header);
}

Result<std::vector<uint8_t>> decode_payload(const FrameHeader& header, Bytes stored,
                                            const std::string& file) {
  PD_ASSERT(stored.size() == header.stored_bytes);
  const uint64_t offset = uint64_t{header.place.block} * kBlockSize;
  if (checksum(stored) != header.payload_checksum) {
    return corrupt(file, offset, "the content of a frame fails its checksum");
  }
  if ((header.flags & kFrameCompressed) == 0 ||
      header.kind == static_cast<uint16_t>(FrameKind::kPages)) {
    return std::vector<uint8_t>(stored.begin(), stored.end());
  }
  // A frame that claims to be large must be worth it: zstd's best ratio is far below this.
  if (header.raw_bytes / 32768 > header.stored_bytes) {
    return corrupt(file, offset, "a compressed frame of impossible size");
  }
  std::vector<uint8_t> raw(header.raw_bytes);
  const size_t size = ZSTD_decompress(raw.data(), raw.size(), stored.data(), stored.size());
  if (ZSTD_isError(size) != 0 || size != raw.size()) {
    return corrupt(file, offset, "a frame does not decompress");
  }
  return raw;
}

Result<PageTable> decode_page_table(const FrameHeader& header, Bytes payload,
                                    const std::string& file) {
  const uint64_t offset = uint64_t{header.place.block} * kBlockSize;
  const bool compressed = (header.flags & kFrameCompressed) != 0;
  const uint32_t units = compressed ? (header.pages + kUnitPages - 1) / kUnitPages : 0;
  if (payload.size() != header.pages * sizeof(uint64_t) + units * sizeof(uint32_t)) {
    return corrupt(file, offset, "a page table of the wrong size");
  }
  PageTable table{header, {}, {}};
  for (uint32_t page = 0; page < header.pages; ++page) {
    table.checksums.push_back(load_le<uint64_t>(payload.data() + page * sizeof(uint64_t)));
  }
  uint64_t total = 0;
  for (uint32_t unit = 0; unit < units; ++unit) {
    const uint8_t* at = payload.data() + header.pages * sizeof(uint64_t) + unit * sizeof(uint32_t);
    table.unit_bytes.push_back(load_le<uint32_t>(at));
    if (table.unit_bytes.back() > kUnitPages * kPageSize) {
      return corrupt(file, offset, "a unit of pages that is too large");
    }
    total += table.unit_bytes.back();
  }
  const uint64_t data = compressed ? blocks_of(total) : header.pages;
  if (header.blocks != 1 + data) return corrupt(file, offset, "a page frame of the wrong length");
  return table;
}

Result<std::shared_ptr<File>> SegmentSet::open(uint32_t segment) const {
  const std::scoped_lock lock(mutex_);
  const auto at = files_.find(segment);
  if (at != files_.end()) return at->second;
  auto file = device_->open(segment_name(segment), FileMode::kRead);
  if (!file.ok() && file.error().code() == Code::kNotFound) {
    return Error(Code::kCorrupt, device_->name() + "/" + segment_name(segment) + " is missing")
        .with_remedy("put the file back; epochs that do not need it can still be used");
  }
  if (!file.ok()) return std::move(file).error();
  if (keep_ == Keep::kSome && files_.size() >= kFilesMax) files_.clear();
  files_.emplace(segment, *file);
  return *file;
}

Result<Frame> SegmentSet::read_any(FramePlace place) const {
  const std::shared_ptr<File> file = PD_TRY(open(place.segment));
  const uint64_t offset = uint64_t{place.block} * kBlockSize;
  std::array<uint8_t, 4 * kBlockSize> front;  // most frames of metadata in one read
  const size_t got = PD_TRY(file->read_at(offset, front));
  const FrameHeader header =
      PD_TRY(decode_frame_header(Bytes(front).first(got), place, store_id_, file->name()));
  const size_t end = sizeof(FrameHeader) + header.stored_bytes;
  if (end <= got) {
    const Bytes stored = Bytes(front).subspan(sizeof(FrameHeader), header.stored_bytes);
    return Frame{header, PD_TRY(decode_payload(header, stored, file->name()))};
  }
  if (offset + end > PD_TRY(file->size())) {
    return corrupt(file->name(), offset, "the file ends in a frame");
  }
  std::vector<uint8_t> stored(header.stored_bytes);
  const size_t size = PD_TRY(file->read_at(offset + sizeof(FrameHeader), stored));
  if (size != stored.size()) return corrupt(file->name(), offset, "the file ends in a frame");
  return Frame{header, PD_TRY(decode_payload(header, stored, file->name()))};
}

Result<Frame> SegmentSet::read_frame(FramePlace place, FrameKind kind) const {
  Frame frame = PD_TRY(read_any(place));
  if (frame.header.kind != static_cast<uint16_t>(kind)) {
    return corrupt(PD_TRY(open(place.segment))->name(), uint64_t{place.block} * kBlockSize,
                   "a frame of another kind than expected");
  }
  return frame;
}

Result<Frame> SegmentSet::read_metadata(FramePlace place) const {
  Frame frame = PD_TRY(read_any(place));
  if (frame.header.kind != static_cast<uint16_t>(FrameKind::kMetadata) &&
      frame.header.kind != static_cast<uint16_t>(FrameKind::kCommit)) {
    return corrupt(PD_TRY(open(place.segment))->name(), uint64_t{place.block} * kBlockSize,
                   "a frame of another kind than expected");
  }
  return frame;
}

std::shared_ptr<const PageTable> SegmentSet::known_page_table(FramePlace place) const {
  const std::scoped_lock lock(mutex_);
  const auto known = tables_.find(place);
  return known == tables_.end() ? nullptr : known->second;
}

Result<std::shared_ptr<const PageTable>> SegmentSet::read_page_table(FramePlace place) const {
  if (auto known = known_page_table(place)) return known;
  const std::shared_ptr<File> file = PD_TRY(open(place.segment));
  std::array<uint8_t, kBlockSize> block;
  const size_t got = PD_TRY(file->read_at(uint64_t{place.block} * kBlockSize, block));
  return take_page_table(place, Bytes(block).first(got));
}

Result<std::shared_ptr<const PageTable>> SegmentSet::take_page_table(FramePlace place,
                                                                     Bytes block) const {
  const std::shared_ptr<File> file = PD_TRY(open(place.segment));
  const uint64_t offset = uint64_t{place.block} * kBlockSize;
  const FrameHeader header = PD_TRY(decode_frame_header(block, place, store_id_, file->name()));
  if (header.kind != static_cast<uint16_t>(FrameKind::kPages) ||
      sizeof(FrameHeader) + header.stored_bytes > block.size()) {
    return corrupt(file->name(), offset, "no frame of pages");
  }
  const Bytes stored = block.subspan(sizeof(FrameHeader), header.stored_bytes);
  if (checksum(stored) != header.payload_checksum) {
    return corrupt(file->name(), offset, "a page table fails its checksum");
  }
  auto table =
      std::make_shared<const PageTable>(PD_TRY(decode_page_table(header, stored, file->name())));
  const std::scoped_lock lock(mutex_);
  if (tables_.size() >= kTablesMax) tables_.clear();
  tables_.emplace(place, table);
  return table;
}

void SegmentSet::forget(uint32_t segment) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(tables_, [&](const auto& entry) { return entry.first.segment == segment; });
  files_.erase(segment);
}

void SegmentSet::keep_only(const std::vector<uint32_t>& segments) {
  const std::scoped_lock lock(mutex_);
  tables_.clear();
  std::erase_if(files_, [&](const auto& entry) {
    return std::find(segments.begin(), segments.end(), entry.first) == segments.end();
  });
}

}  // namespace perdure::store
