// Collector: gives back the space of epochs that were dropped, beside the writer of a store, on a
// thread of its own (or, for a reproducible order, where run() is called). It works in passes:
//
//   find    which segments nothing refers to, and which are worth emptying (usage.h)
//   copy    what is needed of those, to segments of its own (rewrite.h), which no catalog names yet
//   (the writer lists the epochs in their new places in a catalog, and waits for it to be durable)
//   delete  the segments
//
// Between the steps it is at rest, and the writer's thread looks at what it found and gives it the
// next step. Invariants: it deletes only what a durable catalog does not need; it appends nothing
// to the writer's segments; a step that fails has changed nothing that anybody refers to.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/rewrite.h"
#include "store/usage.h"

namespace perdure::store {

class Collector {
 public:
  enum class Where : uint8_t { kThread, kCaller };
  struct Setup {
    std::shared_ptr<Device> device;
    std::shared_ptr<SegmentSet> files;  // the writer's: forgets what is deleted
    LogWriter::Setup log;               // for segments of its own
    const Clock* clock = nullptr;
    Where where = Where::kThread;
  };
  explicit Collector(Setup setup);
  ~Collector();

  struct Work {
    std::vector<EpochPlace> epochs;  // kept and durable, ascending
    std::vector<FramePlace> roots;   // other commits that the next epochs may be based on
    uint32_t end_segment = 0;        // segments from here on are left alone
    FramePlace catalog;              // the newest one
    // 0: delete only. Segments are emptied until about so much was copied.
    uint64_t copy_bytes_max = 0;
    // If anything is dead, it goes at once, and nothing is copied.
    bool dead_first = false;
  };
  struct Found {
    std::vector<SegmentUse> dead;
    std::vector<SegmentUse> victims;  // emptied: dead once the new commits are in place
    uint64_t live_bytes = 0;
    bool short_of_space = false;             // less was copied than is worth it
    bool more = false;                       // and so it was because of copy_bytes_max
    std::unique_ptr<Compaction> compaction;  // null: nothing was copied
    LogWriter::Mark end;                     // of the copies
  };

  // At rest: nothing is under way, and what the last step found can be taken.
  bool at_rest() const { return at_rest_.load(std::memory_order_acquire); }
  // Waits until it is at rest, or does the work.
  void run();

  // The steps; only at rest.
  void find(Work work);
  // Copies what these later epochs need too.
  void copy(std::vector<EpochPlace> more);
  void remove(std::vector<SegmentUse> segments);
  // Deletes the copies.
  void discard();
  // Ends the step that is under way, if there is one, and waits for it.
  void interrupt();

  // How the last step ended; only at rest, as are all below.
  const Status& status() const { return status_; }
  Found& found() { return found_; }
  struct Totals {
    uint64_t segments_deleted = 0;
    uint64_t bytes_copied = 0;
    uint64_t busy_ns = 0;
  };
  const Totals& totals() const { return totals_; }

 private:
  enum class Step : uint8_t { kNone, kFind, kCopy, kRemove, kDiscard };

  void begin(Step step);
  void execute();
  void run_thread();
  Status find_now();
  Status compact(std::vector<uint32_t> victims, const std::vector<SegmentUse>& uses);
  Status copy_now();
  Status remove_now();
  Status discard_now();

  Setup setup_;
  std::mutex mutex_;
  std::condition_variable work_;  // a step, or the end
  std::condition_variable rest_;
  Step step_ = Step::kNone;  // under mutex_
  bool ending_ = false;      // under mutex_
  std::atomic<bool> at_rest_ = true;
  std::atomic<bool> interrupted_ = false;

  // Of the thread during a step, of the caller at rest.
  Work todo_;
  std::vector<EpochPlace> more_;
  std::vector<SegmentUse> removing_;
  std::shared_ptr<SegmentSet> files_;  // of this pass
  Found found_;
  Status status_;
  Totals totals_;

  std::thread thread_;
};

}  // namespace perdure::store
