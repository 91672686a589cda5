// Compaction: every epoch of a catalog anew, without the victims.
#include <unordered_map>
#include <utility>

#include "base/assert.h"
#include "store/collect.h"
#include "store/page_read.h"

namespace perdure::store {
namespace {

constexpr size_t kPieceBytes = 512u << 10;

struct PageKey {
  uint32_t segment, block;
  uint16_t slot;
  auto operator<=>(const PageKey&) const = default;
};

// Copies what lies in the victims, each thing once, and says where it is now.
class Mover {
 public:
  Mover(const std::vector<uint32_t>& victims, const SegmentSet& segments, LogWriter& log)
      : victims_(victims), segments_(segments), log_(log) {}

  Status move(EpochState& state) {
    for (auto& [object, entry] : state.objects) {
      if (entry.has_record && is_victim(entry.record.frame.segment)) {
        entry.record = PD_TRY(moved(entry.record));
      }
      for (size_t at = 0; at < entry.pages.slots().size(); ++at) {
        entry.pages.replace_chunk(at, PD_TRY(moved(entry.pages.slots()[at].chunk)));
      }
    }
    return Ok{};
  }
  uint64_t bytes() const { return bytes_; }

 private:
  using ChunkPtr = std::shared_ptr<PageMap::Chunk>;

  bool is_victim(uint32_t segment) const {
    return std::find(victims_.begin(), victims_.end(), segment) != victims_.end();
  }

  // The same chunk for the same chunk, so that what epochs share they share again.
  Result<ChunkPtr> moved(const ChunkPtr& chunk) {
    const auto known = chunks_.find(chunk);
    if (known != chunks_.end()) return known->second;
    ChunkPtr result = chunk;
    for (const PageExtent& extent : *chunk) {
      if (!is_victim(extent.location.segment)) continue;
      result = PD_TRY(rebuilt(*chunk));
      break;
    }
    chunks_.emplace(chunk, result);
    return result;
  }

  Result<ChunkPtr> rebuilt(const PageMap::Chunk& chunk) {
    PageMap map;  // joins what became neighbours
    for (const PageExtent& extent : chunk) {
      if (!is_victim(extent.location.segment)) {
        map.assign(extent);
        continue;
      }
      PD_TRY(copy_missing(extent));
      for (uint32_t at = 0; at < extent.count; ++at) {
        const Location from = extent.location.advanced(at);
        map.assign({extent.first_page + at, 1, pages_.at({from.segment, from.block, from.slot})});
      }
    }
    PD_ASSERT(map.slots().size() == 1);
    return map.slots().front().chunk;
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

  bool is_copied(const Location& location) const {
    return pages_.contains({location.segment, location.block, location.slot});
  }

  Status copy(const PageExtent& extent) {
    buffer_.resize(extent.count * kPageSize);
    PD_TRY(read_extent(segments_, extent, buffer_));
    bytes_ += buffer_.size();
    for (uint32_t done = 0; done < extent.count;) {
      const auto placed =
          PD_TRY(log_.append_pages(Epoch(), Bytes(buffer_).subspan(done * kPageSize)));
      for (uint32_t at = 0; at < placed.count; ++at) {
        const Location from = extent.location.advanced(done + at);
        pages_[{from.segment, from.block, from.slot}] = placed.location.advanced(at);
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
  std::map<PageKey, Location> pages_;
  std::map<FramePlace, FramePlace> frames_;
  std::unordered_map<ChunkPtr, ChunkPtr> chunks_;
  std::vector<uint8_t> buffer_;
  uint64_t bytes_ = 0;
};

// Writes commits for the states that it is given, each relative to the one before.
class Rewriter {
 public:
  explicit Rewriter(LogWriter& log) : log_(log) {}

  Result<EpochRecord> write(const EpochRecord& old, const EpochState& state) {
    const Delta delta = difference(previous_, state);
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
    const std::vector<uint8_t> last =
        full ? PD_TRY(encode_index(state, kPieceBytes, sink))
             : PD_TRY(encode_index(delta, &previous_, kPieceBytes, sink));
    const auto payload =
        encode_metadata(std::vector<uint8_t>(kMetadataHeadBytes), last, encode_commit(commit));
    commit.record.commit = PD_TRY(log_.append(FrameKind::kMetadata, old.info.epoch, payload));
    previous_ = state;
    base_ = commit.record;
    return commit.record;
  }

 private:
  LogWriter& log_;
  EpochState previous_;
  EpochRecord base_;
};

}  // namespace

Result<Rewritten> rewrite_without(const std::vector<uint32_t>& victims, WriterCore& core) {
  Rewritten result;
  result.catalog.sequence = core.catalog().sequence;
  StateWalker walker(core.files());
  Mover mover(victims, *core.files(), core.log());
  Rewriter rewriter(core.log());
  for (const EpochRecord& record : core.catalog().epochs) {
    EpochState state = *PD_TRY(walker.read(record.commit));
    PD_TRY(mover.move(state));
    result.catalog.add(PD_TRY(rewriter.write(record, state)));
  }
  PD_TRY(core.log().queue_sync());
  PD_TRY(core.log().queue().wait(core.log().queue().now()));
  result.bytes_copied = mover.bytes();
  return result;
}

}  // namespace perdure::store
