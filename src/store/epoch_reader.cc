#include "store/epoch_reader.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "base/assert.h"
#include "kernel/device_file.h"
#include "store/catalog.h"
#include "store/page_read.h"

namespace perdure::store {
namespace {

// Frames of records that for_each_record() keeps at a time: records of neighbours by id mostly
// share frames.
constexpr size_t kFrameCacheBytes = 8u << 20;

class RecordFrames {
 public:
  explicit RecordFrames(const SegmentSet& segments) : segments_(segments) {}

  Result<Bytes> record(const RecordPlace& place) {
    auto at = frames_.find(place.frame);
    if (at == frames_.end()) {
      if (bytes_ > kFrameCacheBytes) {
        frames_.clear();
        bytes_ = 0;
      }
      Frame frame = PD_TRY(segments_.read_metadata(place.frame));
      bytes_ += frame.payload.size();
      at = frames_.emplace(place.frame, std::move(frame.payload)).first;
    }
    const std::vector<uint8_t>& payload = at->second;
    if (uint64_t{place.offset} + place.length > payload.size()) {
      return Error(Code::kCorrupt,
                   place_name(place.frame) + ": an index refers to a record behind its frame")
          .with_remedy("use another epoch");
    }
    return Bytes(payload).subspan(place.offset, place.length);
  }

 private:
  const SegmentSet& segments_;
  std::map<FramePlace, std::vector<uint8_t>> frames_;
  size_t bytes_ = 0;
};

std::tuple<uint32_t, uint32_t, uint16_t> place_in_log(const PageExtent& extent) {
  return {extent.location.segment, extent.location.block, extent.location.slot};
}

// Ranges that lie nearer together are read as one.
constexpr uint64_t kReadAheadGap = 128u << 10;
// Scattered pages are not worth more calls than this.
constexpr int kReadAheadCalls = 128;

// Bytes read at a time when only checking.
constexpr uint32_t kVerifyPages = 256;

}  // namespace

EpochReader::EpochReader(EpochInfo info, std::shared_ptr<const EpochState> state,
                         std::shared_ptr<SegmentSet> segments)
    : info_(std::move(info)), state_(std::move(state)), segments_(std::move(segments)) {}

EpochReader::~EpochReader() = default;

std::vector<ObjectSummary> EpochReader::objects() const {
  std::vector<ObjectSummary> out;
  out.reserve(state_->objects.size());
  for (const auto& [object, state] : state_->objects) {
    out.push_back({object, state.kind, state.record.length, state.pages.page_count()});
  }
  return out;
}

Status EpochReader::for_each_record(const RecordCallback& callback) const {
  RecordFrames frames(*segments_);
  for (const auto& [object, state] : state_->objects) {
    if (!state.has_record) continue;
    const Bytes record = PD_TRY(frames.record(state.record));
    PD_TRY(callback(object, state.kind, record));
  }
  return Ok{};
}

Result<std::string> EpochReader::record(ObjectId object) const {
  const auto at = state_->objects.find(object);
  if (at == state_->objects.end() || !at->second.has_record) {
    return Error(Code::kNotFound, "epoch " + std::to_string(info_.epoch.value) +
                                      " has no record of object " + std::to_string(object.value));
  }
  RecordFrames frames(*segments_);
  const Bytes bytes = PD_TRY(frames.record(at->second.record));
  return std::string(bytes.begin(), bytes.end());
}

std::vector<PageExtent> EpochReader::extents(ObjectId memory) const {
  return extents(memory, 0, kPagesEnd);
}

std::vector<PageExtent> EpochReader::extents(ObjectId memory, uint64_t first_page,
                                             uint64_t count) const {
  PD_ASSERT(first_page <= kPagesEnd && count <= kPagesEnd);
  const auto at = state_->objects.find(memory);
  if (at == state_->objects.end()) return {};
  return at->second.pages.extents(first_page, first_page + count);
}

Status EpochReader::read_pages(const PageExtent& extent, MutableBytes out) const {
  return read_extent(*segments_, extent, out);
}

Status EpochReader::read_range(ObjectId memory, uint64_t first_page, MutableBytes out) const {
  return read_range_by(read_extent, memory, first_page, out);
}

Status EpochReader::stream_range(ObjectId memory, uint64_t first_page, MutableBytes out) const {
  return read_range_by(stream_extent, memory, first_page, out);
}

bool EpochReader::is_streamed(const PageExtent& extent) {
  return extent.count >= kStreamPagesMin && !extent.location.compressed();
}

Status EpochReader::read_range_by(ReadExtent read, ObjectId memory, uint64_t first_page,
                                  MutableBytes out) const {
  PD_ASSERT(out.size() % kPageSize == 0);
  uint64_t page = first_page;
  const auto zero_until = [&](uint64_t end) {
    std::memset(out.data() + (page - first_page) * kPageSize, 0, (end - page) * kPageSize);
    page = end;
  };
  for (const PageExtent& extent : extents(memory, first_page, out.size() / kPageSize)) {
    zero_until(extent.first_page);
    PD_TRY(read(*segments_, extent,
                out.subspan((page - first_page) * kPageSize, extent.count * kPageSize)));
    page = extent.end();
  }
  zero_until(first_page + out.size() / kPageSize);
  return Ok{};
}

Status EpochReader::verify_extents(std::span<const PageExtent> extents) const {
  std::vector<uint8_t> pages;
  for (const PageExtent& extent : extents) {
    PD_ASSERT(extent.count <= kVerifyPages);
    pages.resize(extent.count * kPageSize);
    PD_TRY(read_extent(*segments_, extent, pages));
  }
  return Ok{};
}

Status EpochReader::verify_pages(const PageExtent& extent, Bytes pages) const {
  return check_extent_bytes(*segments_, extent, pages);
}

Status EpochReader::for_each_change(ObjectId memory, uint64_t first_page, Bytes pages,
                                    const ChangeCallback& callback) const {
  PD_ASSERT(pages.size() % kPageSize == 0);
  const uint64_t count = pages.size() / kPageSize;
  std::vector<bool> same(count);
  for (const PageExtent& extent : extents(memory, first_page, count)) {
    const std::vector<bool> part = PD_TRY(same_pages(
        *segments_, extent,
        pages.subspan((extent.first_page - first_page) * kPageSize, extent.count * kPageSize)));
    std::copy(part.begin(), part.end(),
              same.begin() + static_cast<ptrdiff_t>(extent.first_page - first_page));
  }
  for (uint64_t at = 0; at < count;) {
    const auto begin = same.begin() + static_cast<ptrdiff_t>(at);
    const auto end = std::find(begin, same.end(), !*begin);
    const auto run = static_cast<uint64_t>(end - begin);
    if (!*begin) {
      PD_TRY(callback(first_page + at, pages.subspan(at * kPageSize, run * kPageSize)));
    }
    at += run;
  }
  return Ok{};
}

void EpochReader::read_ahead(std::vector<PageExtent> extents) const {
  std::sort(extents.begin(), extents.end(), [](const PageExtent& a, const PageExtent& b) {
    return place_in_log(a) < place_in_log(b);
  });
  uint32_t segment = 0;
  uint64_t from = 0, to = 0, frame = UINT64_MAX;
  int calls = 0;
  const auto read = [&] {
    const auto file = segments_->open(segment);
    if (file.ok() && (*file)->descriptor() >= 0)
      kernel::start_reading((*file)->descriptor(), from, to - from);
    ++calls;
  };
  const auto add = [&](uint32_t of, uint64_t begin, uint64_t end) {
    if (of != segment || begin > to + kReadAheadGap) {
      if (to > from) read();
      segment = of;
      from = begin;
    }
    to = end;
  };
  for (const PageExtent& extent : extents) {
    if (calls >= kReadAheadCalls) return;
    const Location& at = extent.location;
    const uint64_t header = uint64_t{at.block} * kBlockSize;
    // With the frame's header, which has the checksums.
    if (at.segment != segment || header != frame) add(at.segment, header, header + kBlockSize);
    frame = header;
    const uint64_t begin = at.compressed() ? header : at.byte_offset();
    add(at.segment, begin, at.byte_offset() + extent.count * kPageSize);
  }
  if (to > from) read();
}

Result<int> EpochReader::segment_fd(uint32_t segment) const {
  return PD_TRY(segments_->open(segment))->descriptor();
}

Result<int> EpochReader::direct_fd(uint32_t segment) const {
  return PD_TRY(segments_->open(segment))->direct_descriptor();
}

}  // namespace perdure::store
