// Compaction: every epoch of a catalog anew, without the victims.
#include <unordered_map>
#include <utility>

#include "base/assert.h"
#include "store/collect.h"
#include "store/page_read.h"

namespace perdure::store {
namespace {

constexpr size_t kPieceBytes = 512u << 10;

// Copies what lies in the victims, each thing once, and says where it is now.
class Mover {
 public:
  Mover(const std::vector<uint32_t>& victims, const SegmentSet& segments, LogWriter& log)
      : victims_(victims), segments_(segments), log_(log) {}

  Status move(Delta& change) {
    for (auto& [object, entry] : change.objects) {
      if (entry.has_record && is_victim(entry.record.frame.segment)) {
        entry.record = PD_TRY(moved(entry.record));
      }
      PageMap pages;
      for (const PageExtent& extent : entry.pages.extents()) PD_TRY(move(extent, pages));
      entry.pages = std::move(pages);
    }
    return Ok{};
  }
  uint64_t bytes() const { return bytes_; }

 private:
  bool is_victim(uint32_t segment) const {
    return std::find(victims_.begin(), victims_.end(), segment) != victims_.end();
  }

  Status move(const PageExtent& extent, PageMap& to) {
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

  static uint64_t key_of(const Location& location) {
    return uint64_t{location.segment} << 32 | uint64_t{location.block} << 8 | location.slot;
  }

  // Copies those pages of an extent that were not copied for another one.
  Status copy_missing(const PageExtent& extent) {
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

  bool is_copied(const Location& location) const { return pages_.contains(key_of(location)); }

  Status copy(const PageExtent& extent) {
    buffer_.resize(extent.count * kPageSize);
    PD_TRY(read_extent(segments_, extent, buffer_));
    bytes_ += buffer_.size();
    for (uint32_t done = 0; done < extent.count;) {
      const auto placed =
          PD_TRY(log_.append_pages(Epoch(), Bytes(buffer_).subspan(done * kPageSize)));
      for (uint32_t at = 0; at < placed.count; ++at) {
        pages_[key_of(extent.location.advanced(done + at))] = placed.location.advanced(at);
      }
      done += placed.count;
    }
    return Ok{};
  }

  // Moves the whole frame that a record lies in: its neighbours are mostly needed too.
  Result<RecordPlace> moved(const RecordPlace& place) {
    auto at = frames_.find(place.frame);
    if (at == frames_.end()) {
      Frame frame = PD_TRY(segments_.read_metadata(place.frame));
      PD_TRY_WITHIN(place_name(place.frame), decode_metadata(frame.payload));
      const auto head = load_le<MetadataHead>(frame.payload.data());
      frame.payload.resize(kMetadataHeadBytes + head.records_bytes);
      bytes_ += frame.payload.size();
      const auto payload = encode_metadata(std::move(frame.payload), {}, {});
      at = frames_.emplace(place.frame, PD_TRY(log_.append(FrameKind::kMetadata, Epoch(), payload)))
               .first;
    }
    return RecordPlace{at->second, place.offset, place.length};
  }

  const std::vector<uint32_t>& victims_;
  const SegmentSet& segments_;
  LogWriter& log_;
  std::unordered_map<uint64_t, Location> pages_;
  std::map<FramePlace, FramePlace> frames_;
  std::vector<uint8_t> buffer_;
  uint64_t bytes_ = 0;
};

// All of a state, as a change of nothing.
Delta everything(const EpochState& state) {
  Delta delta;
  for (const auto& [object, entry] : state.objects) {
    ObjectDelta& change = delta.objects[object];
    change.has_record = entry.has_record;
    change.kind = entry.kind;
    change.record = entry.record;
    change.pages = entry.pages;
  }
  return delta;
}

// Writes commits for the states that it is given, each relative to the one before.
class Rewriter {
 public:
  explicit Rewriter(LogWriter& log) : log_(log) {}

  // change: from the state of the last call to this one.
  Result<EpochRecord> write(const EpochRecord& old, const Delta& delta, const EpochState& state) {
    const uint64_t delta_bytes = index_bytes(delta);
    const bool full =
        base_.commit.none() || base_.depth + 1 > kChainUsual || delta_bytes >= index_bytes(state);
    Commit commit;
    commit.record = old;
    commit.record.depth = full ? 0 : base_.depth + 1;
    commit.record.chain_bytes = full ? 0 : base_.chain_bytes + delta_bytes;
    if (!full) commit.base = base_.commit;
    const IndexSink sink = [&](std::vector<uint8_t> piece) -> Status {
      const auto payload = encode_metadata(std::vector<uint8_t>(kMetadataHeadBytes), piece, {});
      commit.index_frames.push_back(PD_TRY(log_.append(FrameKind::kMetadata, Epoch(), payload)));
      return Ok{};
    };
    const std::vector<uint8_t> last = full
                                          ? PD_TRY(encode_index(state, kPieceBytes, sink))
                                          : PD_TRY(encode_index(delta, nullptr, kPieceBytes, sink));
    const auto payload =
        encode_metadata(std::vector<uint8_t>(kMetadataHeadBytes), last, encode_commit(commit));
    commit.record.commit = PD_TRY(log_.append(FrameKind::kMetadata, old.info.epoch, payload));
    base_ = commit.record;
    return commit.record;
  }

 private:
  LogWriter& log_;
  EpochRecord base_;
};

}  // namespace

Result<Rewritten> rewrite_without(const std::vector<uint32_t>& victims, WriterCore& core) {
  Rewritten result;
  result.catalog.sequence = core.catalog().sequence;
  StateWalker walker(core.files());
  Mover mover(victims, *core.files(), core.log());
  Rewriter rewriter(core.log());
  EpochState state;  // of the last epoch, where things are now
  for (const EpochRecord& record : core.catalog().epochs) {
    const EpochState* const before = PD_TRY(walker.read(record.commit));
    const bool goes_on = walker.change() != nullptr;
    Delta change = goes_on ? *walker.change() : everything(*before);
    PD_TRY(mover.move(change));
    if (goes_on) {
      apply(change, state);
    } else {
      EpochState next;
      apply(change, next);
      change = difference(state, next);
      state = std::move(next);
    }
    result.catalog.add(PD_TRY(rewriter.write(record, change, state)));
  }
  PD_TRY(core.log().queue_sync());
  PD_TRY(core.log().queue().wait(core.log().queue().now()));
  result.bytes_copied = mover.bytes();
  return result;
}

}  // namespace perdure::store
