// Garbage: what of the log the kept epochs still need, and moving that together where most is dead.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "store/catalog.h"
#include "store/frame.h"
#include "store/writer_core.h"

namespace perdure::store {

// Reads the states of one epoch after the other. From an epoch to one that is based on it, the work
// follows the change.
class StateWalker {
 public:
  explicit StateWalker(std::shared_ptr<SegmentSet> segments) : segments_(std::move(segments)) {}
  // Valid until the next call.
  Result<const EpochState*> read(FramePlace commit);
  // What changed since the last call; null if that was something else altogether.
  const Delta* change() const { return goes_on_ ? &change_ : nullptr; }
  // The commit and index frames that the last call read: place and length in blocks.
  const std::vector<std::pair<FramePlace, uint32_t>>& frames() const { return frames_; }

 private:
  std::shared_ptr<SegmentSet> segments_;
  FramePlace at_;
  EpochState state_;
  bool goes_on_ = false;
  Delta change_;
  std::vector<std::pair<FramePlace, uint32_t>> frames_;
};

// Blocks of each segment that some epoch needs: about, as to how many; exact, as to whether there
// are any.
class Usage {
 public:
  void add(const EpochState& state);
  void add(const Delta& change);
  void add_frame(FramePlace frame, uint32_t blocks) { mark(frame.segment, frame.block, blocks); }
  uint64_t live_bytes(uint32_t segment) const;
  uint64_t live_bytes() const;

 private:
  void mark(uint32_t segment, uint64_t block, uint64_t count);
  void add(const RecordPlace& record);
  void add(const PageMap& pages);

  std::map<uint32_t, std::vector<bool>> blocks_;
};

Result<Usage> usage_of(const Catalog& catalog, const std::shared_ptr<SegmentSet>& segments);

// Rewrites all epochs of the catalog so that nothing refers into the victims: their pages and
// records are copied to the end of the log, and every epoch gets a new commit. Nothing is lost if
// it fails halfway; what it appended is dead then.
struct Rewritten {
  Catalog catalog;
  uint64_t bytes_copied = 0;
};
Result<Rewritten> rewrite_without(const std::vector<uint32_t>& victims, WriterCore& core);

}  // namespace perdure::store
