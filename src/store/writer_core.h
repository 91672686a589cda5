// WriterCore: the writing half of a store. It owns the log's end, the state of the newest epoch in
// memory, and the epoch that is being filled (at most one). Submitted epochs are settled in order;
// one failure fails all that follow it. Used by one thread; it lives as long as the Store, an
// EpochWriter or a PendingEpoch needs it.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "store/catalog.h"
#include "store/collect.h"
#include "store/collector.h"
#include "store/epoch_writer.h"
#include "store/log_writer.h"
#include "store/parking.h"
#include "store/recovery.h"
#include "store/retention.h"

namespace perdure::store {

// A submitted epoch.
struct PendingCommit {
  EpochRecord record;
  IoQueue::Ticket ticket = 0;
  // What it changed, until it is settled and nothing is being collected; from nothing if
  // from_empty.
  Delta delta;
  bool from_empty = false;
  FramePlace parent_commit;    // what it is based on, unless from_empty
  uint32_t first_segment = 0;  // nothing that it wrote lies in an earlier one
  bool announced = false;      // take_settled() tells of it
  bool settled = false;
  std::optional<Error> error;  // once settled
};

class WriterCore {
 public:
  struct Setup {
    std::shared_ptr<Device> device;
    std::unique_ptr<DeviceLock> lock;
    const Clock* clock = nullptr;
    Compress compress = Compress::kNo;
    uint64_t segment_bytes = 0;
    IoQueue::Thread thread = IoQueue::Thread::kIfUseful;
    Recovered found;
  };
  static Result<std::shared_ptr<WriterCore>> create(Setup setup);
  ~WriterCore();

  // --- one epoch: begin, put, and submit or abandon
  Result<Epoch> begin(std::optional<Epoch> parent, Contents contents, Epoch* parent_out);
  Status put_record(ObjectId object, uint32_t kind, Bytes record);
  Status erase_object(ObjectId object);
  Status put_pages(ObjectId memory, uint64_t first_page, Bytes data, Zeros zeros);
  Status erase_pages(ObjectId memory, uint64_t first_page, uint64_t count);
  Status share_pages(ObjectId memory, uint64_t first_page, uint64_t count, ObjectId source,
                     uint64_t source_first_page);
  Result<MutableBytes> page_buffer();
  Status make_room(uint64_t bytes);
  void enter_window();
  Status leave_window();
  Result<std::shared_ptr<PendingCommit>> submit(const CommitInfo& info);
  void abandon();

  // Lets the writing thread go on with what was submitted; take_settled() is to tell of it.
  void go_on_without_waiting(PendingCommit& pending) {
    pending.announced = announcing_;
    log_.queue().run_behind();
  }
  Result<EpochInfo> wait(const std::shared_ptr<PendingCommit>& pending);
  bool done(const PendingCommit& pending) const;

  int durable_fd() {
    announcing_ = true;
    return settled_event_.get();
  }
  std::vector<SettledEpoch> take_settled();
  InFlight in_flight() const;

  // --- the whole
  // Settles what is done, or everything.
  void settle_done();
  void settle_all();
  bool filling() const { return epoch_.value != 0; }
  const Catalog& catalog() const { return catalog_; }
  // See Store.
  Result<CollectReport> retain(const Retention& policy);
  Result<CollectReport> drop(const std::vector<Epoch>& epochs);
  // Waits until the catalog names only what is written.
  Status settle_places();
  const std::shared_ptr<SegmentSet>& files() const { return files_; }
  // Makes the log ready to be appended to; done by begin().
  Status prepare();
  // Ends cleanly: the next engine goes on in this segment.
  Status close();

 private:
  WriterCore(Setup setup, Fd settled_event);

  Status recover_from_failure();
  Status load_state(Epoch parent);
  Status write_catalog();
  Status queue_catalog();
  void forget_filling();

  Status park_pages(ObjectId memory, uint64_t first_page, Bytes data, Zeros zeros);
  Status do_parked();
  Status do_parked(const Parking::Order& order);
  Status store_pages(ObjectId memory, uint64_t first_page, Bytes data, Zeros zeros);
  void store_share(ObjectId memory, uint64_t first_page, uint64_t count, ObjectId source,
                   uint64_t source_first_page);
  Status store_run(ObjectDelta& change, uint64_t first_page, Bytes pages);
  void erase_range(ObjectDelta& change, uint64_t first_page, uint64_t count);
  PageMap pages_now(ObjectId memory, uint64_t first_page, uint64_t count) const;

  // submit()'s steps
  Status seal_records();
  Result<std::vector<FramePlace>> append_index(const EpochRecord& record,
                                               std::vector<uint8_t>* last);
  Status sync_if_large(Commit& commit);
  void place_records(FramePlace frame);
  void write_catalog_if_due();
  EpochRecord next_record(const CommitInfo& info) const;
  std::shared_ptr<PendingCommit> submitted(EpochRecord record, FramePlace place);
  void settle_front();
  Status tell_of_loss();
  void loss_told();

  // Collecting: the writer's half (writer_collect.cc). Epochs in their new places, on their way to
  // the disk with a catalog.
  struct Listing {
    IoQueue::Ticket ticket = 0;
    std::vector<EpochRecord> before;  // of epochs whose new place is lost if this is
    std::vector<SegmentUse> dead;     // then
  };
  enum class Collecting : uint8_t { kNo, kLooking, kListing, kRemoving, kDiscarding };
  void make_collector();
  // Settles everything and makes the log ready; kInvalid if an epoch is being filled.
  Status begin_maintenance();
  void forget_epochs(const std::vector<Epoch>& epochs);
  uint64_t apply_retention(const Retention& policy);
  uint64_t live_bytes() const;
  uint64_t bytes_beyond(uint64_t segments) const;
  bool is_crowded() const;
  double slowdown() const;
  bool collector_has_rested() const;
  bool worth_collecting() const;
  uint64_t copy_bytes_max() const;
  void copy_more_next_time();
  void start_collecting(uint64_t copy_bytes_max);
  Status attend();
  Status attend_finding();
  bool catch_up();
  Status list_anew();
  Status rewrite_line(Compaction& compaction, Listing& listing);
  void settle_listing();
  void give_up_collecting();
  void end_collecting();
  void move_epoch(const EpochRecord& to);
  CollectReport report_since_last();

  Setup setup_;
  std::shared_ptr<SegmentSet> files_;
  Fd settled_event_;
  LogWriter log_;
  Catalog catalog_;  // durable epochs
  FramePlace catalog_place_;
  std::deque<std::shared_ptr<PendingCommit>> pending_;
  bool announcing_ = false;
  std::deque<std::shared_ptr<PendingCommit>> announcements_;  // settled, for take_settled()
  // The first failure of a submitted epoch, until the caller was told of one.
  std::optional<Error> loss_;
  bool loss_told_ = false;
  uint64_t commits_since_catalog_ = 0;
  uint64_t catalog_at_bytes_ = 0;  // log_.appended_bytes() when the last catalog was written
  uint64_t catalog_bytes_ = 0;
  bool is_new_ = false;  // nothing was ever stored
  bool ready_ = false;   // prepare() was done
  bool failed_ = false;  // a submitted epoch was lost since the last begin()
  Epoch next_epoch_{1};
  uint64_t forgotten_bytes_ = 0;  // since collecting began the last time
  uint64_t forgotten_epochs_ = 0;

  Collecting collecting_ = Collecting::kNo;
  bool forgets_ = false;  // some epoch was dropped since the pass before
  Epoch covered_;         // the collector knows the epochs up to here
  // The epochs behind that, each based on the one before or on nothing; unless it is broken.
  std::deque<std::shared_ptr<PendingCommit>> line_;
  bool line_broken_ = false;
  std::optional<Listing> listing_;
  uint64_t live_bytes_ = 0;        // of the log, when the last pass looked; 0: none has
  uint64_t appended_at_look_ = 0;  // log_.appended_bytes() then
  // Of the last pass: whether it failed, for how long it worked, and when it ended.
  bool collector_fails_ = false;
  uint64_t worked_ns_ = 0, rest_begin_ns_ = 0;
  // There is, or may be, dead space that no forgotten epoch tells of: a pass is worth it.
  bool unfinished_ = false;
  uint64_t copy_bytes_max_ = 0;   // of the next pass
  uint64_t restless_passes_ = 0;  // that are still to begin
  uint64_t collected_ns_ = 0;     // of the collector's time, when the last pass ended
  Collector::Totals reported_;
  std::optional<Error> collect_error_;  // to be told by retain()
  Retention retention_;                 // of the last retain()
  size_t retain_at_ = 0;                // epochs; the policy is applied again then

  // The state of tip_, if it is loaded: what the next epoch's index is relative to.
  EpochState state_;
  std::optional<EpochRecord> tip_;

  // The epoch that is being filled.
  Epoch epoch_;
  Epoch parent_;
  uint32_t first_segment_ = 0;
  bool from_empty_ = false;
  LogWriter::Mark mark_;
  uint64_t bytes_at_begin_ = 0;
  Delta delta_;
  Parking parking_{log_.queue()};
  std::vector<uint8_t> records_;  // not yet in a frame; begins with room for the frame's head
  std::vector<ObjectId> records_of_;
  uint64_t records_changed_ = 0;
  uint64_t pages_changed_ = 0;

  std::unique_ptr<Collector> collector_;  // goes first
};

}  // namespace perdure::store
