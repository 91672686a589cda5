#include "store/collect.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "store/store_impl.h"

namespace perdure::store {
namespace {

struct SegmentUse {
  uint32_t number = 0;
  uint64_t allocated = 0;
  uint64_t live = 0;
};

// Space that may be dead without being worth copying for.
constexpr uint64_t kSlackSegments = 2;
// Collecting reads the index of every epoch: not for less than this.
constexpr uint64_t kWorthEpochs = 256;
constexpr uint64_t kWorthBytes = 8u << 20;
// Copied at a time when nobody asked for it: the caller waits.
constexpr uint64_t kCopyBytesMax = 64u << 20;

Result<std::vector<SegmentUse>> uses_of(Device& device, const SegmentSet& segments,
                                        const Usage& usage) {
  std::vector<SegmentUse> uses;
  for (const std::string& name : PD_TRY(device.list())) {
    const uint32_t number = segment_number(name);
    if (number == 0) continue;
    const std::shared_ptr<File> file = PD_TRY(segments.open(number));
    uses.push_back({number, PD_TRY(file->size()), usage.live_bytes(number)});
  }
  std::sort(uses.begin(), uses.end(),
            [](const SegmentUse& a, const SegmentUse& b) { return a.number < b.number; });
  return uses;
}

// The segments to empty: those with the least live data first, until at most half of the log is
// dead.
std::vector<uint32_t> choose_victims(std::vector<SegmentUse> uses, uint32_t current,
                                     uint64_t copy_bytes_max) {
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
    if (allocated <= 2 * live + kSlackSegments * largest || use.live * 2 > use.allocated) break;
    if (use.number >= current) continue;
    copied += use.live;
    if (copied > copy_bytes_max && !victims.empty()) break;
    victims.push_back(use.number);
    allocated -= use.allocated - use.live;
  }
  return victims;
}

class Collector {
 public:
  Collector(Device& device, WriterCore& core) : device_(device), core_(core) {}

  // when: kIfWorthIt spares the work as long as few epochs were dropped since the last time.
  enum class When : uint8_t { kIfWorthIt, kNow };
  Result<CollectReport> run(const std::vector<Epoch>& drop, When when) {
    const uint64_t before = core_.forgotten_epochs();
    core_.forget_epochs(drop);
    report_.epochs_dropped = core_.forgotten_epochs() - before;
    if (when == When::kNow || worth_it()) {
      PD_TRY(collect(when == When::kNow ? UINT64_MAX : kCopyBytesMax));
      core_.collected();
    }
    return report_;
  }

 private:
  bool worth_it() const {
    const uint64_t kept = core_.catalog().epochs.size();
    return core_.forgotten_epochs() > std::max(kWorthEpochs, kept) ||
           core_.forgotten_bytes() > std::max(kWorthBytes, core_.log().allocated_bytes() / 4);
  }

  Status collect(uint64_t copy_bytes_max) {
    if (core_.forgotten_epochs() != 0) PD_TRY(core_.write_catalog());
    std::vector<SegmentUse> uses = PD_TRY(delete_dead());
    std::vector<uint32_t> victims = choose_victims(uses, core_.log().end().segment, copy_bytes_max);
    if (!victims.empty()) {
      PD_TRY(compact_what_fits(std::move(victims)));
      uses = PD_TRY(delete_dead());
    }
    for (const SegmentUse& use : uses) report_.live_bytes += use.live;
    return Ok{};
  }

  Result<std::vector<SegmentUse>> delete_dead() {
    const Usage usage = PD_TRY(usage_of(core_.catalog(), core_.files()));
    std::vector<SegmentUse> uses = PD_TRY(uses_of(device_, *core_.files(), usage));
    std::vector<SegmentUse> left;
    std::vector<uint32_t> numbers;
    for (const SegmentUse& use : uses) {
      // The catalog lies at the end of the log: write_catalog() was the last to append.
      if (use.live == 0 && use.number < core_.oldest_needed()) {
        PD_TRY(device_.remove(segment_name(use.number)));
        core_.log().segments_deleted(use.allocated);
        ++report_.segments_deleted;
      } else {
        left.push_back(use);
        numbers.push_back(use.number);
      }
    }
    core_.files()->keep_only(numbers);
    return left;
  }

  // On a full disk fewer segments at a time, or none: what could be deleted is deleted already.
  Status compact_what_fits(std::vector<uint32_t> victims) {
    while (!victims.empty()) {
      const Status status = compact(victims);
      if (status.ok() || status.error().code() != Code::kFull) return status;
      victims.resize(victims.size() / 2);
    }
    return Ok{};
  }

  Status compact(const std::vector<uint32_t>& victims) {
    const LogWriter::Mark mark = PD_TRY(core_.log().mark());
    auto rewritten = rewrite_without(victims, core_);
    if (!rewritten.ok()) {
      PD_TRY(core_.log().rewind(mark));
      return std::move(rewritten).error().within("compacting the store");
    }
    report_.bytes_copied += rewritten->bytes_copied;
    return core_.replace_catalog(std::move(rewritten->catalog));
  }

  Device& device_;
  WriterCore& core_;
  CollectReport report_;
};

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
    const Commit link = PD_TRY(read_commit(frame));
    for (const FramePlace& place : link.index_frames) {
      const Frame part = PD_TRY(segments_->read_metadata(place));
      frames_.emplace_back(place, part.header.blocks);
    }
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

Result<Usage> usage_of(const Catalog& catalog, const std::shared_ptr<SegmentSet>& segments) {
  Usage usage;
  StateWalker walker(segments);
  for (const EpochRecord& record : catalog.epochs) {
    const EpochState* const state = PD_TRY(walker.read(record.commit));
    if (walker.change() != nullptr) {
      usage.add(*walker.change());
    } else {
      usage.add(*state);
    }
    for (const auto& [place, blocks] : walker.frames()) usage.add_frame(place, blocks);
  }
  return usage;
}

Result<CollectReport> Store::drop(const std::vector<Epoch>& epochs) {
  if (!impl_->core) return Error(Code::kInvalid, "this store was opened for reading");
  PD_TRY(impl_->core->begin_maintenance());
  return Collector(*impl_->device, *impl_->core).run(epochs, Collector::When::kNow);
}

Result<CollectReport> Store::retain(const Retention& policy) {
  if (!impl_->core) return Error(Code::kInvalid, "this store was opened for reading");
  PD_TRY(impl_->core->begin_maintenance());
  std::vector<EpochTime> times;  // notes are not copied: this may run after every epoch
  times.reserve(impl_->core->catalog().epochs.size());
  for (const EpochRecord& record : impl_->core->catalog().epochs) {
    times.push_back({record.info.epoch, record.info.durable_realtime_ns});
  }
  const std::vector<Epoch> drop = epochs_to_drop(std::span<const EpochTime>(times), policy);
  return Collector(*impl_->device, *impl_->core).run(drop, Collector::When::kIfWorthIt);
}

Result<SpaceReport> Store::space() const {
  SpaceReport report;
  const SegmentSet files(impl_->device, impl_->segments()->store_id());
  for (const std::string& file_name : PD_TRY(impl_->device->list())) {
    const uint32_t number = segment_number(file_name);
    if (number == 0) continue;
    const auto file = files.open(number);
    if (!file.ok()) continue;  // deleted by the writer beside us
    ++report.segments;
    report.allocated_bytes += PD_TRY((*file)->size());
  }
  return report;
}

}  // namespace perdure::store
