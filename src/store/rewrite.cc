#include "store/rewrite.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "store/page_read.h"

namespace perdure::store {
namespace {

constexpr size_t kPieceBytes = 512u << 10;

}  // namespace

Mover::Mover(std::vector<uint32_t> victims, std::shared_ptr<SegmentSet> segments, LogWriter* log)
    : victims_(std::move(victims)), segments_(std::move(segments)), log_(log) {
  std::sort(victims_.begin(), victims_.end());
}

uint64_t Mover::key_of(const Location& location) {
  return uint64_t{location.segment} << 32 | uint64_t{location.block} << 8 | location.slot;
}

bool Mover::is_victim(uint32_t segment) const {
  return std::binary_search(victims_.begin(), victims_.end(), segment);
}

bool Mover::is_copied(const Location& location) const { return pages_.contains(key_of(location)); }

bool Mover::touches(const Chunk& chunk) const {
  return std::any_of(chunk.begin(), chunk.end(),
                     [&](const PageExtent& extent) { return is_victim(extent.location.segment); });
}

// Looks at each version of a chunk once: from one epoch to the next few change.
bool Mover::touches(const EpochState& state) {
  bool any = false;
  for (const auto& [object, entry] : state.objects) {
    any = any || (entry.has_record && is_victim(entry.record.frame.segment));
    std::map<uint64_t, Looked>& looked = looked_[object];
    for (const PageMap::Slot& slot : entry.pages.slots()) {
      Looked& last = looked[slot.number];
      if (last.chunk != slot.chunk) last = {slot.chunk, touches(*slot.chunk)};
      any = any || last.touches;
    }
  }
  return any;
}

Result<EpochState> Mover::moved(const EpochState& state) {
  EpochState now = state;
  for (auto& [object, entry] : now.objects) {
    if (entry.has_record && is_victim(entry.record.frame.segment)) {
      entry.record = PD_TRY(moved(entry.record));
    }
    for (size_t at = 0; at < entry.pages.slots().size(); ++at) {
      const Chunk& chunk = *entry.pages.slots()[at].chunk;
      if (!touches(chunk)) continue;
      PageMap pages;
      start_reading_missing(chunk);
      for (const PageExtent& extent : chunk) PD_TRY(move(extent, pages));
      PD_ASSERT(pages.slots().size() == 1);
      entry.pages.replace_chunk(at, pages.slots().front().chunk);
    }
  }
  return now;
}

Status Mover::move(Delta& change) {
  for (auto& [object, entry] : change.objects) {
    if (entry.has_record && is_victim(entry.record.frame.segment)) {
      entry.record = PD_TRY(moved(entry.record));
    }
    PageMap pages;
    for (const PageMap::Slot& slot : entry.pages.slots()) {
      start_reading_missing(*slot.chunk);
      for (const PageExtent& extent : *slot.chunk) PD_TRY(move(extent, pages));
    }
    entry.pages = std::move(pages);
  }
  return Ok{};
}

bool Mover::move_known(Delta& change) const {
  for (auto& [object, entry] : change.objects) {
    if (entry.has_record && is_victim(entry.record.frame.segment)) return false;
    const auto& slots = entry.pages.slots();
    if (std::none_of(slots.begin(), slots.end(),
                     [&](const PageMap::Slot& slot) { return touches(*slot.chunk); })) {
      continue;
    }
    for (const PageExtent& extent : entry.pages.extents()) {
      if (!is_victim(extent.location.segment)) continue;
      for (uint32_t at = 0; at < extent.count; ++at) {
        const auto known = pages_.find(key_of(extent.location.advanced(at)));
        if (known == pages_.end()) return false;
        entry.pages.assign({extent.first_page + at, 1, known->second});
      }
    }
  }
  return true;
}

// Scattered pages, one by one, would each wait behind what the writer gives the disk.
void Mover::start_reading_missing(const Chunk& extents) {
  std::vector<PageExtent> missing;
  for (const PageExtent& extent : extents) {
    if (is_victim(extent.location.segment) && !is_copied(extent.location))
      missing.push_back(extent);
  }
  start_reading(*segments_, missing);
}

Status Mover::move(const PageExtent& extent, PageMap& to) {
  if (!is_victim(extent.location.segment)) {
    to.assign(extent);
    return Ok{};
  }
  PD_TRY(copy_missing(extent));
  for (uint32_t at = 0; at < extent.count; ++at) {
    to.assign({extent.first_page + at, 1, pages_.at(key_of(extent.location.advanced(at)))});
  }
  return Ok{};
}

// Copies those pages of an extent that were not copied for another one.
Status Mover::copy_missing(const PageExtent& extent) {
  for (uint32_t at = 0; at < extent.count;) {
    uint32_t count = 0;
    while (at + count < extent.count && !is_copied(extent.location.advanced(at + count))) ++count;
    if (count != 0) {
      PD_TRY(copy(extent.clipped(extent.first_page + at, extent.first_page + at + count)));
    }
    at += count + 1;
  }
  return Ok{};
}

Status Mover::copy(const PageExtent& extent) {
  buffer_.resize(extent.count * kPageSize);
  PD_TRY(read_extent(*segments_, extent, buffer_));
  bytes_ += buffer_.size();
  for (uint32_t done = 0; done < extent.count;) {
    const auto placed =
        PD_TRY(log_->append_pages(Epoch(), Bytes(buffer_).subspan(done * kPageSize)));
    for (uint32_t at = 0; at < placed.count; ++at) {
      pages_[key_of(extent.location.advanced(done + at))] = placed.location.advanced(at);
    }
    done += placed.count;
  }
  return Ok{};
}

// Moves the whole frame that a record lies in: its neighbours are mostly needed too.
Result<RecordPlace> Mover::moved(const RecordPlace& place) {
  auto at = frames_.find(place.frame);
  if (at == frames_.end()) {
    Frame frame = PD_TRY(segments_->read_metadata(place.frame));
    PD_TRY_WITHIN(place_name(place.frame), decode_metadata(frame.payload));
    const auto head = load_le<MetadataHead>(frame.payload.data());
    frame.payload.resize(kMetadataHeadBytes + head.records_bytes);
    bytes_ += frame.payload.size();
    const auto payload = encode_metadata(std::move(frame.payload), {}, {});
    at = frames_.emplace(place.frame, PD_TRY(log_->append(FrameKind::kMetadata, Epoch(), payload)))
             .first;
  }
  return RecordPlace{at->second, place.offset, place.length};
}

Result<EpochRecord> Rewriter::write(const EpochRecord& old, const Delta* change,
                                    const EpochState& state) {
  const uint64_t full_bytes = index_bytes(state);
  const uint64_t delta_bytes = change != nullptr ? index_bytes(*change) : full_bytes;
  const bool full =
      base_.commit.none() || change == nullptr || full_index_due(base_, delta_bytes, full_bytes);
  Commit commit;
  commit.record = old;
  commit.record.depth = full ? 0 : base_.depth + 1;
  commit.record.chain_bytes = full ? 0 : base_.chain_bytes + delta_bytes;
  if (!full) commit.base = base_.commit;
  const IndexSink sink = [&](std::vector<uint8_t> piece) -> Status {
    const auto payload = encode_metadata(std::vector<uint8_t>(kMetadataHeadBytes), piece, {});
    commit.index_frames.push_back(PD_TRY(log_->append(FrameKind::kMetadata, Epoch(), payload)));
    return Ok{};
  };
  const std::vector<uint8_t> last = full
                                        ? PD_TRY(encode_index(state, kPieceBytes, sink))
                                        : PD_TRY(encode_index(*change, nullptr, kPieceBytes, sink));
  const auto payload =
      encode_metadata(std::vector<uint8_t>(kMetadataHeadBytes), last, encode_commit(commit));
  commit.record.commit = PD_TRY(log_->append(FrameKind::kMetadata, old.info.epoch, payload));
  base_ = commit.record;
  return commit.record;
}

Compaction::Compaction(std::vector<uint32_t> victims, std::shared_ptr<SegmentSet> segments,
                       LogWriter::Setup log)
    : segments_(std::move(segments)),
      log_(std::move(log)),
      walker_(segments_),
      mover_(std::move(victims), segments_, &log_),
      rewriter_(&log_) {}

Status Compaction::add(const EpochPlace& epoch) {
  const EpochState* const before = PD_TRY(walker_.read(epoch.commit));
  const bool goes_on = walker_.change() != nullptr;
  const auto& frames = walker_.frames();
  chain_touches_ = (goes_on && chain_touches_) ||
                   std::any_of(frames.begin(), frames.end(), [&](const auto& frame) {
                     return mover_.is_victim(frame.first.segment);
                   });
  const bool rewrite = mover_.touches(*before) || chain_touches_;
  Delta change;
  bool change_known = goes_on;
  if (goes_on) {
    change = *walker_.change();
    PD_TRY(mover_.move(change));
    apply(change, state_);
  } else {
    EpochState next = PD_TRY(mover_.moved(*before));
    // Two epochs far apart: mostly the same pages, or hardly any.
    change_known = rewrite && !rewriter_.last().commit.none();
    if (change_known) change = difference(state_, next);
    state_ = std::move(next);
  }
  if (!rewrite) {
    rewriter_.pass(walker_.record());
    return Ok{};
  }
  records_.push_back(
      PD_TRY(rewriter_.write(walker_.record(), change_known ? &change : nullptr, state_)));
  return Ok{};
}

Status Compaction::add(std::span<const EpochPlace> epochs, const std::atomic<bool>& stop) {
  for (const EpochPlace& epoch : epochs) {
    if (stop) return Error(Code::kBusy, "the store is being closed");
    PD_TRY(add(epoch));
  }
  PD_TRY(log_.queue_sync());
  return log_.queue().wait(log_.queue().now());
}

}  // namespace perdure::store
