#include "store/index.h"

#include <utility>

namespace perdure::store {
namespace {

// An entry of more extents is cut, so that a piece has a bounded size.
constexpr uint32_t kEntryExtentsMax = 8192;

void append(std::vector<uint8_t>& out, Bytes bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

uint64_t entry_bytes(uint64_t extents) {
  const uint64_t entries = 1 + extents / kEntryExtentsMax;
  return entries * sizeof(IndexEntry) + extents * sizeof(PageExtent);
}

uint64_t extent_count(const PageMap& pages) {
  uint64_t count = 0;
  for (const PageMap::Slot& slot : pages.slots()) count += slot.chunk->size();
  return count;
}

// Cuts entries into pieces and gives full pieces to the sink.
class IndexBuilder {
 public:
  IndexBuilder(size_t piece_bytes, const IndexSink& sink)
      : piece_bytes_(piece_bytes), sink_(sink) {}

  Status add(IndexEntry entry, std::vector<PageExtent> extents) {
    size_t at = 0;
    do {
      const size_t count = std::min<size_t>(kEntryExtentsMax, extents.size() - at);
      entry.extents = static_cast<uint32_t>(count);
      PD_TRY(add_part(entry, extents.data() + at));
      at += count;
      entry.flags = 0;
    } while (at < extents.size());
    return Ok{};
  }
  std::vector<uint8_t> take() { return std::exchange(piece_, {}); }

 private:
  Status add_part(const IndexEntry& entry, const PageExtent* extents) {
    const size_t size = sizeof(entry) + entry.extents * sizeof(PageExtent);
    if (!piece_.empty() && piece_.size() + size > piece_bytes_) PD_TRY(sink_(take()));
    append(piece_, bytes_of(entry));
    append(piece_,
           Bytes(reinterpret_cast<const uint8_t*>(extents), entry.extents * sizeof(PageExtent)));
    return Ok{};
  }

  size_t piece_bytes_;
  const IndexSink& sink_;
  std::vector<uint8_t> piece_;
};

void append_absent(std::vector<PageExtent>& out, uint64_t first, uint64_t end) {
  while (first < end) {
    const auto count = static_cast<uint32_t>(std::min<uint64_t>(end - first, UINT32_MAX));
    out.push_back({first, count, Location{}});
    first += count;
  }
}

IndexEntry entry_of(ObjectId object, uint32_t kind, bool has_record, const RecordPlace& record) {
  IndexEntry entry{};
  entry.object = object.value;
  if (has_record) {
    entry.kind = kind;
    entry.flags = kEntryRecord;
    entry.record = record;
  }
  return entry;
}

void apply_object(const ObjectDelta& delta, ObjectState& state) {
  if (delta.has_record) {
    state.has_record = true;
    state.kind = delta.kind;
    state.record = delta.record;
  }
  for (const auto& [first, end] : delta.erased.ranges()) state.pages.erase(first, end - first);
  for (const PageMap::Slot& slot : delta.pages.slots()) {
    for (const PageExtent& extent : *slot.chunk) state.pages.assign(extent);
  }
}

bool same(const ObjectState& a, const ObjectState& b) {
  return a.has_record == b.has_record && a.kind == b.kind && a.record == b.record;
}

// The pages of `to` in chunks that differ from `from`; pages that only `from` has are erased.
void difference_of_pages(const PageMap& from, const PageMap& to, ObjectDelta& delta) {
  auto old_at = from.slots().begin();
  const auto old_end = from.slots().end();
  const auto erase_old = [&] {
    delta.erased.add(old_at->number * kChunkPages, kChunkPages);
    ++old_at;
  };
  for (const PageMap::Slot& slot : to.slots()) {
    while (old_at != old_end && old_at->number < slot.number) erase_old();
    if (old_at != old_end && old_at->number == slot.number) {
      if (old_at->chunk == slot.chunk || *old_at->chunk == *slot.chunk) {
        ++old_at;
        continue;
      }
      erase_old();
    }
    for (const PageExtent& extent : *slot.chunk) delta.pages.assign(extent);
  }
  while (old_at != old_end) erase_old();
}

Status check_extent(const PageExtent& extent) {
  const Error bad(Code::kCorrupt, "an index has an impossible extent");
  if (extent.count == 0 || extent.first_page >= kPagesEnd) return bad;
  if (extent.end() > kPagesEnd && !extent.location.absent()) return bad;
  if (extent.location.absent()) return Ok{};
  if (extent.count > kFramePagesMax || extent.location.block < kFirstFrameBlock ||
      extent.location.block >= kSegmentBytesLimit / kBlockSize ||
      uint32_t{extent.location.slot} + extent.count > kFramePagesMax ||
      (extent.location.flags & ~kExtentCompressed) != 0) {
    return bad;
  }
  return Ok{};
}

Status check_entry(const IndexEntry& entry, size_t bytes_left) {
  const bool has_record = (entry.flags & kEntryRecord) != 0;
  if ((entry.flags & ~(kEntryForget | kEntryRecord)) != 0 || entry.object == 0 ||
      entry.extents > bytes_left / sizeof(PageExtent) ||
      (has_record && entry.record.length > kRecordBytesMax)) {
    return Error(Code::kCorrupt, "an index has an impossible entry");
  }
  return Ok{};
}

Status decode_extents(Bytes bytes, PageMap& pages, PageSet* touched) {
  for (size_t at = 0; at < bytes.size(); at += sizeof(PageExtent)) {
    const auto extent = load_le<PageExtent>(bytes.data() + at);
    PD_TRY(check_extent(extent));
    if (touched != nullptr) touched->add(extent.first_page, extent.count);
    if (extent.location.absent()) {
      pages.erase(extent.first_page, extent.count);
    } else {
      pages.assign(extent);
    }
  }
  return Ok{};
}

void touch(const IndexEntry& entry, Touched& touched) {
  const ObjectId object(entry.object);
  if ((entry.flags & kEntryForget) != 0) touched.forgotten.insert(object);
  if ((entry.flags & kEntryRecord) != 0) touched.records.insert(object);
}

void set_record(const ObjectState& state, ObjectDelta& change) {
  change.has_record = state.has_record;
  change.kind = state.kind;
  change.record = state.record;
}

// What these ranges hold now: extents, and erased ranges between them.
void add_ranges(const PageSet& ranges, const PageMap& now, ObjectDelta& change) {
  for (const auto& [first, end] : ranges.ranges()) {
    uint64_t page = first;
    for (const PageExtent& extent : now.extents(first, end)) {
      change.erased.add(page, extent.first_page - page);
      change.pages.assign(extent);
      page = extent.end();
    }
    change.erased.add(page, end - page);
  }
}

}  // namespace

void apply(const Delta& delta, EpochState& state) {
  for (const auto& [object, change] : delta.objects) {
    if (change.forget) state.objects.erase(object);
    if (change.has_record || !change.pages.empty()) {
      apply_object(change, state.objects[object]);
    } else if (const auto at = state.objects.find(object); at != state.objects.end()) {
      apply_object(change, at->second);
      if (!at->second.has_record && at->second.pages.empty()) state.objects.erase(at);
    }
  }
}

Delta difference(const EpochState& from, const EpochState& to) {
  Delta delta;
  for (const auto& [object, old] : from.objects) {
    if (!to.objects.contains(object)) delta.objects[object].forget = true;
  }
  const ObjectState nothing;
  for (const auto& [object, state] : to.objects) {
    const auto at = from.objects.find(object);
    const bool known = at != from.objects.end();
    ObjectDelta change;
    change.forget = known && at->second.has_record && !state.has_record;
    const ObjectState& old = known && !change.forget ? at->second : nothing;
    if (state.has_record && !same(old, state)) {
      change.has_record = true;
      change.kind = state.kind;
      change.record = state.record;
    }
    difference_of_pages(old.pages, state.pages, change);
    if (change.forget || change.has_record || !change.erased.empty() || !change.pages.empty()) {
      delta.objects.emplace(object, std::move(change));
    }
  }
  return delta;
}

uint64_t index_bytes(const Delta& delta) {
  uint64_t bytes = 0;
  for (const auto& [object, change] : delta.objects) {
    bytes += entry_bytes(extent_count(change.pages) + change.erased.ranges().size());
  }
  return bytes;
}

uint64_t index_bytes(const EpochState& state) {
  uint64_t bytes = 0;
  for (const auto& [object, entry] : state.objects) {
    bytes += entry_bytes(extent_count(entry.pages));
  }
  return bytes;
}

Result<std::vector<uint8_t>> encode_index(const Delta& delta, const EpochState* base,
                                          size_t piece_bytes, const IndexSink& sink) {
  IndexBuilder builder(piece_bytes, sink);
  for (const auto& [object, change] : delta.objects) {
    const bool known = base == nullptr || base->objects.contains(object);
    IndexEntry entry = entry_of(object, change.kind, change.has_record, change.record);
    if (change.forget && known) entry.flags |= kEntryForget;
    std::vector<PageExtent> extents;
    if (known && !change.forget) {
      for (const auto& [first, end] : change.erased.ranges()) append_absent(extents, first, end);
    }
    for (const PageExtent& extent : change.pages.extents()) extents.push_back(extent);
    if (entry.flags == 0 && extents.empty()) continue;
    PD_TRY(builder.add(entry, std::move(extents)));
  }
  return builder.take();
}

Result<std::vector<uint8_t>> encode_index(const EpochState& state, size_t piece_bytes,
                                          const IndexSink& sink) {
  IndexBuilder builder(piece_bytes, sink);
  for (const auto& [object, entry] : state.objects) {
    PD_TRY(builder.add(entry_of(object, entry.kind, entry.has_record, entry.record),
                       entry.pages.extents()));
  }
  return builder.take();
}

Delta delta_of(const Touched& touched, const EpochState& now) {
  Delta delta;
  for (const ObjectId object : touched.forgotten) {
    ObjectDelta& change = delta.objects[object];
    change.forget = true;
    const auto at = now.objects.find(object);
    if (at == now.objects.end()) continue;
    set_record(at->second, change);
    change.pages = at->second.pages;
  }
  for (const ObjectId object : touched.records) {
    const auto at = now.objects.find(object);
    if (at != now.objects.end()) set_record(at->second, delta.objects[object]);
  }
  for (const auto& [object, set] : touched.pages) {
    if (touched.forgotten.contains(object)) continue;
    const auto at = now.objects.find(object);
    add_ranges(set, at != now.objects.end() ? at->second.pages : PageMap(), delta.objects[object]);
  }
  return delta;
}

Status decode_index(Bytes section, FramePlace self, EpochState& state, Touched* touched) {
  while (!section.empty()) {
    if (section.size() < sizeof(IndexEntry)) {
      return Error(Code::kCorrupt, "an index ends in an entry");
    }
    auto entry = load_le<IndexEntry>(section.data());
    section = section.subspan(sizeof(IndexEntry));
    PD_TRY(check_entry(entry, section.size()));
    const Bytes extents = section.first(entry.extents * sizeof(PageExtent));
    section = section.subspan(extents.size());
    const ObjectId object(entry.object);
    if (entry.record.frame.none()) entry.record.frame = self;
    if (touched != nullptr) touch(entry, *touched);
    PageSet* const pages = touched != nullptr ? &touched->pages[object] : nullptr;
    if ((entry.flags & kEntryForget) != 0) state.objects.erase(object);
    ObjectState& target = state.objects[object];
    if ((entry.flags & kEntryRecord) != 0) {
      target.has_record = true;
      target.kind = entry.kind;
      target.record = entry.record;
    }
    PD_TRY(decode_extents(extents, target.pages, pages));
    if (!target.has_record && target.pages.empty()) state.objects.erase(object);
  }
  return Ok{};
}

}  // namespace perdure::store
