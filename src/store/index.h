// The state of an epoch (which records, which pages, where), what an epoch changes in it, and the
// bytes of both.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "store/format.h"
#include "store/page_map.h"

namespace perdure::store {

struct ObjectState {
  uint32_t kind = 0;
  bool has_record = false;
  RecordPlace record;
  PageMap pages;
};

struct EpochState {
  std::map<ObjectId, ObjectState> objects;
};

// Applied in this order: forget, record, erased, pages. No page is both erased and mapped by the
// order of application: what is mapped wins.
struct ObjectDelta {
  bool forget = false;
  bool has_record = false;
  uint32_t kind = 0;
  RecordPlace record;
  PageSet erased;
  PageMap pages;
};

struct Delta {
  std::map<ObjectId, ObjectDelta> objects;
};

void apply(const Delta& delta, EpochState& state);
// What turns `from` into `to`.
Delta difference(const EpochState& from, const EpochState& to);

// Bytes of the index of a delta or a state: exact for a state, an upper bound for a delta.
uint64_t index_bytes(const Delta& delta);
uint64_t index_bytes(const EpochState& state);

// Receives pieces of index, each of whole entries.
using IndexSink = std::function<Status(std::vector<uint8_t>)>;
// What `base` does not have is not erased; base may be null (nothing is known about it). The last
// piece is returned instead of being given to the sink. Pieces are at most piece_bytes long, but at
// least one entry.
Result<std::vector<uint8_t>> encode_index(const Delta& delta, const EpochState* base,
                                          size_t piece_bytes, const IndexSink& sink);
Result<std::vector<uint8_t>> encode_index(const EpochState& state, size_t piece_bytes,
                                          const IndexSink& sink);

// What decoding touched, so that the work of going from one epoch to the next follows the change.
struct Touched {
  std::set<ObjectId> forgotten;  // and perhaps made anew
  std::set<ObjectId> records;
  std::map<ObjectId, PageSet> pages;
};
// The change that led to `now`, given what it touched.
Delta delta_of(const Touched& touched, const EpochState& now);

// Applies an index section that lies in the frame `self`; adds to `touched` unless it is null. On
// kCorrupt the state is left half changed.
Status decode_index(Bytes section, FramePlace self, EpochState& state, Touched* touched = nullptr);

}  // namespace perdure::store
