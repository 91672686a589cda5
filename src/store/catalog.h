// What is known of each epoch, and the bytes of commits and catalogs.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "store/epoch_writer.h"
#include "store/format.h"
#include "store/frame.h"
#include "store/index.h"

namespace perdure::store {

struct EpochRecord {
  EpochInfo info;
  FramePlace commit;
  uint32_t depth = 0;        // of its chain of indexes
  uint64_t chain_bytes = 0;  // of the indexes from the last full one on
};

// An epoch and its commit frame.
struct EpochPlace {
  Epoch epoch;
  FramePlace commit;
};

// Whether an index of everything is worth more than one more link in the chain of changes.
bool full_index_due(const EpochRecord& base, uint64_t delta_bytes, uint64_t full_bytes);

struct Commit {
  EpochRecord record;  // commit place: not part of the bytes
  FramePlace base;
  std::vector<FramePlace> index_frames;
  std::vector<VerifyEntry> verify;
};

struct Catalog {
  uint64_t sequence = 0;
  Epoch next_epoch{1};
  std::vector<EpochRecord> epochs;  // by number

  // Replaces an epoch of the same number.
  void add(EpochRecord record);
  const EpochRecord* find(Epoch epoch) const;
  EpochRecord* find(Epoch epoch);
};

// The payload of a metadata or commit frame. records begins with room for the head
// (kMetadataHeadBytes).
inline constexpr size_t kMetadataHeadBytes = sizeof(MetadataHead);
std::vector<uint8_t> encode_metadata(std::vector<uint8_t> head_and_records, Bytes index,
                                     Bytes commit);
struct MetadataSections {
  Bytes index;
  Bytes commit;
};
Result<MetadataSections> decode_metadata(Bytes payload);

std::vector<uint8_t> encode_commit(const Commit& commit);
Result<Commit> decode_commit(Bytes body);

std::vector<uint8_t> encode_catalog(const Catalog& catalog);
Result<Catalog> decode_catalog(Bytes payload);

// The commit in this frame, and its index section.
Result<Commit> read_commit(const Frame& frame);
// The chain of commit frames that make up the state of an epoch, the full index first; without
// `known` and what it is based on, if that is part of the chain.
Result<std::vector<Frame>> read_chain(const SegmentSet& segments, FramePlace commit,
                                      FramePlace known = {});
// What this chain makes of a state.
Status apply_chain(const SegmentSet& segments, const std::vector<Frame>& chain, EpochState& state,
                   Touched* touched = nullptr);
Result<EpochState> read_state(const SegmentSet& segments, FramePlace commit);

}  // namespace perdure::store
