// What of the log the kept epochs need.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "store/catalog.h"
#include "store/frame.h"

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
  // What the last commit says of its epoch.
  const EpochRecord& record() const { return record_; }

 private:
  std::shared_ptr<SegmentSet> segments_;
  FramePlace at_;
  EpochState state_;
  bool goes_on_ = false;
  Delta change_;
  std::vector<std::pair<FramePlace, uint32_t>> frames_;
  EpochRecord record_;
};

// Blocks of each segment that some epoch needs: about, as to how many; exact, as to whether there
// are any.
class Usage {
 public:
  void add(const EpochState& state);
  void add(const Delta& change);
  void add_frame(FramePlace frame, uint32_t blocks) { mark(frame.segment, frame.block, blocks); }
  // What the state that the walker has just read needs beside the one before.
  void add(const StateWalker& walker, const EpochState& state);
  uint64_t live_bytes(uint32_t segment) const;
  uint64_t live_bytes() const;

 private:
  void mark(uint32_t segment, uint64_t block, uint64_t count);
  void add(const RecordPlace& record);
  void add(const PageMap& pages);

  std::map<uint32_t, std::vector<bool>> blocks_;
};

struct SegmentUse {
  uint32_t number = 0;
  uint64_t allocated = 0;
  uint64_t live = 0;
};

// The segments before `end`, ascending. The writer may make and delete later ones meanwhile.
Result<std::vector<SegmentUse>> uses_of(Device& device, const SegmentSet& segments,
                                        const Usage& usage, uint32_t end);

// The segments to empty so that the log is at most a third dead (and two segments): those with the
// least live data first, as long as that is at most two thirds of each, so that at most twice as
// much is copied as is given back; in all at most about copy_bytes_max, but one at least, unless
// that is 0.
std::vector<uint32_t> choose_victims(std::vector<SegmentUse> uses, uint64_t copy_bytes_max);

}  // namespace perdure::store
