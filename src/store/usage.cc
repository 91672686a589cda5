#include "store/usage.h"

#include <algorithm>

#include "base/assert.h"

namespace perdure::store {
namespace {

// Space that may be dead without being worth copying for.
constexpr uint64_t kSlackSegments = 2;

}  // namespace

Result<const EpochState*> StateWalker::read(FramePlace commit) {
  frames_.clear();
  const std::vector<Frame> chain = PD_TRY(read_chain(*segments_, commit, at_));
  goes_on_ = chain.empty() || !PD_TRY(read_commit(chain.front())).base.none();
  if (!goes_on_) state_ = {};
  PD_ASSERT(!goes_on_ || !at_.none());
  at_ = {};  // half changed, should this fail
  for (const Frame& frame : chain) {
    frames_.emplace_back(frame.header.place, frame.header.blocks);
    Commit link = PD_TRY(read_commit(frame));
    for (const FramePlace& place : link.index_frames) {
      const Frame part = PD_TRY(segments_->read_metadata(place));
      frames_.emplace_back(place, part.header.blocks);
    }
    record_ = std::move(link.record);
  }
  Touched touched;
  PD_TRY(apply_chain(*segments_, chain, state_, goes_on_ ? &touched : nullptr));
  change_ = delta_of(touched, state_);
  at_ = commit;
  return &state_;
}

void Usage::mark(uint32_t segment, uint64_t block, uint64_t count) {
  std::vector<bool>& bits = blocks_[segment];
  const uint64_t end = std::min(block + count, kSegmentBytesLimit / kBlockSize);
  if (bits.size() < end) bits.resize(end);
  for (uint64_t at = block; at < end; ++at) bits[at] = true;
}

void Usage::add(const PageMap& pages) {
  for (const PageMap::Slot& slot : pages.slots()) {
    for (const PageExtent& extent : *slot.chunk) {
      const Location& location = extent.location;
      mark(location.segment, location.block, 1);
      mark(location.segment, uint64_t{location.block} + 1 + location.slot, extent.count);
    }
  }
}

void Usage::add(const RecordPlace& record) {
  const uint64_t end = sizeof(FrameHeader) + uint64_t{record.offset} + record.length;
  mark(record.frame.segment, record.frame.block, blocks_of(end));
}

void Usage::add(const EpochState& state) {
  for (const auto& [object, entry] : state.objects) {
    if (entry.has_record) add(entry.record);
    add(entry.pages);
  }
}

void Usage::add(const Delta& change) {
  for (const auto& [object, entry] : change.objects) {
    if (entry.has_record) add(entry.record);
    add(entry.pages);
  }
}

void Usage::add(const StateWalker& walker, const EpochState& state) {
  if (walker.change() != nullptr) {
    add(*walker.change());
  } else {
    add(state);
  }
  for (const auto& [place, blocks] : walker.frames()) add_frame(place, blocks);
}

uint64_t Usage::live_bytes(uint32_t segment) const {
  const auto at = blocks_.find(segment);
  if (at == blocks_.end()) return 0;
  return static_cast<uint64_t>(std::count(at->second.begin(), at->second.end(), true)) * kBlockSize;
}

uint64_t Usage::live_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [segment, bits] : blocks_) bytes += live_bytes(segment);
  return bytes;
}

Result<std::vector<SegmentUse>> uses_of(Device& device, const SegmentSet& segments,
                                        const Usage& usage, uint32_t end) {
  std::vector<SegmentUse> uses;
  for (const std::string& name : PD_TRY(device.list())) {
    const uint32_t number = segment_number(name);
    if (number == 0 || number >= end) continue;
    const std::shared_ptr<File> file = PD_TRY(segments.open(number));
    uses.push_back({number, PD_TRY(file->size()), usage.live_bytes(number)});
  }
  std::sort(uses.begin(), uses.end(),
            [](const SegmentUse& a, const SegmentUse& b) { return a.number < b.number; });
  return uses;
}

std::vector<uint32_t> choose_victims(std::vector<SegmentUse> uses, uint64_t copy_bytes_max) {
  uint64_t allocated = 0, live = 0, largest = 0, copied = 0;
  for (const SegmentUse& use : uses) {
    allocated += use.allocated;
    live += use.live;
    largest = std::max(largest, use.allocated);
  }
  std::sort(uses.begin(), uses.end(), [](const SegmentUse& a, const SegmentUse& b) {
    return a.live * b.allocated < b.live * a.allocated;
  });
  std::vector<uint32_t> victims;
  for (const SegmentUse& use : uses) {
    if (2 * allocated <= 3 * live + 2 * kSlackSegments * largest) break;
    if (3 * use.live > 2 * use.allocated) break;
    copied += use.live;
    if (copied > copy_bytes_max && (copy_bytes_max == 0 || !victims.empty())) break;
    victims.push_back(use.number);
    allocated -= use.allocated - use.live;
  }
  return victims;
}

}  // namespace perdure::store
