// Compaction: what the kept epochs still need of some segments is copied to new ones, and the
// epochs that refer to them get new commits. Nothing is valid before a catalog says so: given up
// halfway, what was written is dead.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "store/catalog.h"
#include "store/log_writer.h"
#include "store/usage.h"

namespace perdure::store {

// Copies what lies in the victims, each thing once, and says where it is now.
class Mover {
 public:
  Mover(std::vector<uint32_t> victims, std::shared_ptr<SegmentSet> segments, LogWriter* log);

  // Whether any page or record of this state lies in a victim.
  bool touches(const EpochState& state);
  bool is_victim(uint32_t segment) const;
  // The same with nothing in a victim.
  Result<EpochState> moved(const EpochState& state);
  Status move(Delta& change);
  // The same for what was copied already: copies nothing. False if something was not.
  bool move_known(Delta& change) const;
  uint64_t bytes() const { return bytes_; }

 private:
  using Chunk = PageMap::Chunk;
  // Kept so that a chunk that the walker goes on to change is a new one.
  struct Looked {
    std::shared_ptr<Chunk> chunk;
    bool touches = false;
  };
  static uint64_t key_of(const Location& location);
  bool touches(const Chunk& chunk) const;
  bool is_copied(const Location& location) const;
  void start_reading_missing(const Chunk& extents);
  Status move(const PageExtent& extent, PageMap& to);
  Status copy_missing(const PageExtent& extent);
  Status copy(const PageExtent& extent);
  Result<RecordPlace> moved(const RecordPlace& place);

  std::vector<uint32_t> victims_;
  std::shared_ptr<SegmentSet> segments_;
  LogWriter* log_;
  std::unordered_map<uint64_t, Location> pages_;
  std::map<FramePlace, FramePlace> frames_;
  std::map<ObjectId, std::map<uint64_t, Looked>> looked_;
  std::vector<uint8_t> buffer_;
  uint64_t bytes_ = 0;
};

// Writes commits of old epochs at the end of a log, each relative to the one before.
class Rewriter {
 public:
  explicit Rewriter(LogWriter* log) : log_(log) {}
  Rewriter(LogWriter* log, EpochRecord base) : log_(log), base_(std::move(base)) {}

  // change: from the state of the last call to this one; null: that is not known.
  Result<EpochRecord> write(const EpochRecord& old, const Delta* change, const EpochState& state);
  // This epoch stays where it is.
  void pass(const EpochRecord& record) { base_ = record; }
  const EpochRecord& last() const { return base_; }

 private:
  LogWriter* log_;
  EpochRecord base_;
};

class Compaction {
 public:
  Compaction(std::vector<uint32_t> victims, std::shared_ptr<SegmentSet> segments,
             LogWriter::Setup log);

  // The next epochs, in their order; durable when this returns. kBusy if `stop` is set meanwhile.
  Status add(std::span<const EpochPlace> epochs, const std::atomic<bool>& stop);
  // The epochs that have a new commit.
  const std::vector<EpochRecord>& records() const { return records_; }
  // The last epoch that was added, and its state, where things are now.
  const EpochRecord& last() const { return rewriter_.last(); }
  EpochState take_state() { return std::move(state_); }
  const Mover& mover() const { return mover_; }
  LogWriter& log() { return log_; }

 private:
  Status add(const EpochPlace& epoch);

  std::shared_ptr<SegmentSet> segments_;
  LogWriter log_;
  StateWalker walker_;
  Mover mover_;
  Rewriter rewriter_;
  EpochState state_;
  bool chain_touches_ = false;  // the commits and indexes that the last epoch was read from
  std::vector<EpochRecord> records_;
};

}  // namespace perdure::store
