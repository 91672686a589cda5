#include "store/catalog.h"

#include <algorithm>
#include <utility>

namespace perdure::store {
namespace {

Error bad(const char* what) { return Error(Code::kCorrupt, what); }

void append(std::vector<uint8_t>& out, Bytes bytes) {
  const size_t at = out.size();
  out.resize(at + bytes.size());
  if (!bytes.empty()) std::memcpy(out.data() + at, bytes.data(), bytes.size());
}

template <typename T>
void append_value(std::vector<uint8_t>& out, const T& value) {
  append(out, bytes_of(value));
}

void append_padded(std::vector<uint8_t>& out, Bytes bytes) {
  append(out, bytes);
  out.resize(aligned8(out.size()));
}

Bytes bytes_of_text(const std::string& text) {
  return Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

CommitNumbers numbers_of(const EpochInfo& info) {
  return {info.epoch.value,         info.parent.value,  info.captured_realtime_ns,
          info.durable_realtime_ns, info.bytes_written, info.records_changed,
          info.pages_changed};
}

EpochInfo info_of(const CommitNumbers& numbers, Bytes note) {
  EpochInfo info;
  info.epoch = Epoch(numbers.epoch);
  info.parent = Epoch(numbers.parent);
  info.captured_realtime_ns = numbers.captured_ns;
  info.durable_realtime_ns = numbers.committed_ns;
  info.bytes_written = numbers.bytes_written;
  info.records_changed = numbers.records_changed;
  info.pages_changed = numbers.pages_changed;
  info.note.assign(note.begin(), note.end());
  return info;
}

bool numbers_plausible(const CommitNumbers& numbers) {
  return numbers.epoch != 0 && numbers.epoch < kEpochNumberMax && numbers.parent < numbers.epoch;
}

// Takes values off the front of bytes whose size was checked.
template <typename T>
T take(Bytes& bytes) {
  PD_ASSERT(bytes.size() >= sizeof(T));
  const T value = load_le<T>(bytes.data());
  bytes = bytes.subspan(sizeof(T));
  return value;
}

Status apply_frame(const Frame& frame, EpochState& state, Touched* touched) {
  const MetadataSections sections = PD_TRY(decode_metadata(frame.payload));
  return decode_index(sections.index, frame.header.place, state, touched);
}

}  // namespace

bool full_index_due(const EpochRecord& base, uint64_t delta_bytes, uint64_t full_bytes) {
  if (base.depth + 1 > kChainMax || delta_bytes >= full_bytes) return true;
  return base.depth + 1 > kChainUsual && base.chain_bytes + delta_bytes >= full_bytes;
}

void Catalog::add(EpochRecord record) {
  next_epoch = std::max(next_epoch, Epoch(record.info.epoch.value + 1));
  const auto at = std::partition_point(epochs.begin(), epochs.end(), [&](const EpochRecord& other) {
    return other.info.epoch < record.info.epoch;
  });
  if (at != epochs.end() && at->info.epoch == record.info.epoch) {
    *at = std::move(record);
  } else {
    epochs.insert(at, std::move(record));
  }
}

const EpochRecord* Catalog::find(Epoch epoch) const {
  const auto at =
      std::partition_point(epochs.begin(), epochs.end(),
                           [&](const EpochRecord& record) { return record.info.epoch < epoch; });
  return at != epochs.end() && at->info.epoch == epoch ? &*at : nullptr;
}

EpochRecord* Catalog::find(Epoch epoch) {
  return const_cast<EpochRecord*>(std::as_const(*this).find(epoch));
}

std::vector<uint8_t> encode_metadata(std::vector<uint8_t> out, Bytes index, Bytes commit) {
  PD_ASSERT(out.size() >= kMetadataHeadBytes);
  const MetadataHead head{static_cast<uint32_t>(out.size() - kMetadataHeadBytes),
                          static_cast<uint32_t>(index.size()), static_cast<uint32_t>(commit.size()),
                          0};
  store_le(out.data(), head);
  out.resize(aligned8(out.size()));
  append_padded(out, index);
  append_padded(out, commit);
  return out;
}

Result<MetadataSections> decode_metadata(Bytes payload) {
  if (payload.size() < kMetadataHeadBytes) return bad("a metadata frame without a head");
  const auto head = load_le<MetadataHead>(payload.data());
  const uint64_t index = aligned8(uint64_t{kMetadataHeadBytes} + head.records_bytes);
  const uint64_t commit = aligned8(index + head.index_bytes);
  if (commit + head.commit_bytes > payload.size()) return bad("a metadata frame of wrong sizes");
  return MetadataSections{payload.subspan(index, head.index_bytes),
                          payload.subspan(commit, head.commit_bytes)};
}

std::vector<uint8_t> encode_commit(const Commit& commit) {
  const EpochRecord& record = commit.record;
  CommitBody body{};
  body.numbers = numbers_of(record.info);
  body.base = commit.base;
  body.depth = record.depth;
  body.index_frames = static_cast<uint32_t>(commit.index_frames.size());
  body.verify_frames = static_cast<uint32_t>(commit.verify.size());
  body.note_bytes = static_cast<uint32_t>(record.info.note.size());
  body.chain_bytes = record.chain_bytes;
  std::vector<uint8_t> out;
  append_value(out, body);
  for (const FramePlace& place : commit.index_frames) append_value(out, place);
  for (const VerifyEntry& entry : commit.verify) append_value(out, entry);
  append_padded(out, bytes_of_text(record.info.note));
  return out;
}

Result<Commit> decode_commit(Bytes bytes) {
  if (bytes.size() < sizeof(CommitBody)) return bad("a commit that is too short");
  const auto body = take<CommitBody>(bytes);
  const uint64_t lists = uint64_t{body.index_frames} * sizeof(FramePlace) +
                         uint64_t{body.verify_frames} * sizeof(VerifyEntry);
  if (!numbers_plausible(body.numbers) || body.depth > kChainMax ||
      body.note_bytes > kNoteBytesMax || body.verify_frames > kVerifyFramesMax ||
      body.index_frames > kIndexFramesMax || lists + body.note_bytes > bytes.size()) {
    return bad("a commit of impossible numbers");
  }
  if ((body.depth == 0) != body.base.none()) return bad("a commit of the wrong depth");
  Commit commit;
  for (uint32_t at = 0; at < body.index_frames; ++at) {
    commit.index_frames.push_back(take<FramePlace>(bytes));
  }
  for (uint32_t at = 0; at < body.verify_frames; ++at) {
    commit.verify.push_back(take<VerifyEntry>(bytes));
  }
  commit.base = body.base;
  commit.record = {
      info_of(body.numbers, bytes.first(body.note_bytes)), {}, body.depth, body.chain_bytes};
  return commit;
}

std::vector<uint8_t> encode_catalog(const Catalog& catalog) {
  std::vector<uint8_t> out;
  append_value(out, CatalogHead{catalog.sequence, catalog.next_epoch.value,
                                static_cast<uint32_t>(catalog.epochs.size()), 0});
  for (const EpochRecord& record : catalog.epochs) {
    append_value(out,
                 CatalogEntry{numbers_of(record.info), record.commit, record.depth,
                              static_cast<uint32_t>(record.info.note.size()), record.chain_bytes});
    append_padded(out, bytes_of_text(record.info.note));
  }
  return out;
}

Result<Catalog> decode_catalog(Bytes bytes) {
  if (bytes.size() < sizeof(CatalogHead)) return bad("a catalog that is too short");
  const auto head = take<CatalogHead>(bytes);
  if (head.entries > kEpochsMax || head.next_epoch == 0 || head.next_epoch > kEpochNumberMax) {
    return bad("a catalog of impossible numbers");
  }
  Catalog catalog;
  catalog.sequence = head.sequence;
  catalog.next_epoch = Epoch(head.next_epoch);
  for (uint32_t at = 0; at < head.entries; ++at) {
    if (bytes.size() < sizeof(CatalogEntry)) return bad("a catalog that ends in an entry");
    const auto entry = take<CatalogEntry>(bytes);
    const uint64_t note = aligned8(entry.note_bytes);
    if (note > bytes.size() || !numbers_plausible(entry.numbers) || entry.commit.none() ||
        entry.depth > kChainMax ||
        (!catalog.epochs.empty() &&
         entry.numbers.epoch <= catalog.epochs.back().info.epoch.value)) {
      return bad("a catalog with an impossible entry");
    }
    catalog.add({info_of(entry.numbers, bytes.first(entry.note_bytes)), entry.commit, entry.depth,
                 entry.chain_bytes});
    bytes = bytes.subspan(note);
  }
  return catalog;
}

Result<Commit> read_commit(const Frame& frame) {
  const std::string place = place_name(frame.header.place);
  const MetadataSections sections = PD_TRY_WITHIN(place, decode_metadata(frame.payload));
  Commit commit = PD_TRY_WITHIN(place, decode_commit(sections.commit));
  commit.record.commit = frame.header.place;
  return commit;
}

Status apply_chain(const SegmentSet& segments, const std::vector<Frame>& chain, EpochState& state,
                   Touched* touched) {
  for (const Frame& frame : chain) {
    const Commit commit = PD_TRY(read_commit(frame));
    for (const FramePlace& place : commit.index_frames) {
      const Frame part = PD_TRY(segments.read_metadata(place));
      PD_TRY_WITHIN(place_name(place), apply_frame(part, state, touched));
    }
    PD_TRY_WITHIN(place_name(frame.header.place), apply_frame(frame, state, touched));
  }
  return Ok{};
}

Result<std::vector<Frame>> read_chain(const SegmentSet& segments, FramePlace place,
                                      FramePlace known) {
  std::vector<Frame> chain;
  uint32_t depth = kChainMax + 1;
  while (!place.none() && place != known) {
    chain.push_back(PD_TRY(segments.read_metadata(place)));
    const Commit commit = PD_TRY(read_commit(chain.back()));
    // Each link is one less deep than the one before, so that no chain is endless.
    if (commit.record.depth + 1 > depth ||
        (depth <= kChainMax && commit.record.depth + 1 != depth)) {
      return bad("a commit that is based on an impossible one").within(place_name(place));
    }
    depth = commit.record.depth;
    place = commit.base;
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

Result<EpochState> read_state(const SegmentSet& segments, FramePlace commit) {
  const std::vector<Frame> chain = PD_TRY(read_chain(segments, commit));
  EpochState state;
  PD_TRY(apply_chain(segments, chain, state));
  return state;
}

}  // namespace perdure::store
