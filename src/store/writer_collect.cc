// WriterCore: dropping epochs, and the writer's half of giving their space back (collector.h). What
// the collector found is put in force here, between two epochs: a catalog lists the epochs in their
// new places, and once that is durable the collector may delete the old ones.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/assert.h"
#include "store/writer_core.h"

namespace perdure::store {
namespace {

// Collecting reads the index of every epoch: not for less than this.
constexpr uint64_t kWorthEpochs = 256;
constexpr uint64_t kWorthSegments = 2;
// Copied in one pass when nobody waits for it. The first pass of a writer that found a store copies
// little, the next one twice as much, and so on: what a crash interrupts was in vain, and is dead
// itself, so a writer that lives shortly again and again must bring small passes to their ends.
constexpr uint64_t kCopyBytesMax = 64u << 20;
constexpr uint64_t kCopyBytesFirst = 4u << 20;
// The collector rests so many times as long as it worked.
constexpr uint64_t kRestShare = 7;
// In a writer that found a store, not before so many passes: its life may be shorter than a rest.
constexpr uint64_t kRestlessPasses = 2;
// When the log is more than half dead (and two segments of the largest size), it copies more at a
// time, and rests less.
constexpr uint64_t kCopyBytesMaxCrowded = 256u << 20;
constexpr uint64_t kRestShareCrowded = 1;
constexpr uint64_t kCrowdedSegments = 2;
// Of the log: when so much of it was forgotten, a pass is worth it.
constexpr uint64_t kForgottenShare = 8;
constexpr uint64_t kRestAfterErrorNs = 1'000'000'000;
// So many epochs are given new commits by the writer itself, at a few microseconds each; the
// collector copies on until it is as near as that.
constexpr size_t kRewriteMax = 8;
// While the disk is that far behind, it waits.
constexpr size_t kLineMax = 32;
// A policy is applied once there is one more epoch for so many that were kept.
constexpr size_t kRetainShare = 64;

// When the log takes two and a half times what is needed, epochs are to come more slowly: ten times
// as slowly at three times, and so on, as long as the collector is able to work. Beyond what it
// leaves alone: two segments, that of the writer, its own, and the rests of those before.
constexpr uint64_t kSlowerSegments = 6;
constexpr double kSlowerFrom = 2.5;
constexpr double kTenTimesSlowerFrom = 3;

}  // namespace

void WriterCore::make_collector() {
  Collector::Setup setup;
  setup.device = setup_.device;
  setup.files = files_;
  setup.clock = setup_.clock;
  setup.where = setup_.thread == IoQueue::Thread::kNone ? Collector::Where::kCaller
                                                        : Collector::Where::kThread;
  setup.log.device = setup_.device;
  setup.log.clock = setup_.clock;
  setup.log.store_id = setup_.found.store_id;
  setup.log.compress = setup_.compress;
  setup.log.space = log_.space();
  setup.log.segment_bytes = setup_.segment_bytes;
  collector_ = std::make_unique<Collector>(std::move(setup));
  // What the writers before this one left dead, nobody knows.
  unfinished_ = !is_new_;
  restless_passes_ = is_new_ ? 0 : kRestlessPasses;
  copy_bytes_max_ = is_new_ ? kCopyBytesMax : kCopyBytesFirst;
}

// --- dropping

void WriterCore::forget_epochs(const std::vector<Epoch>& epochs) {
  const std::set<Epoch> drop(epochs.begin(), epochs.end());
  std::erase_if(catalog_.epochs, [&](const EpochRecord& record) {
    if (!drop.contains(record.info.epoch)) return false;
    forgotten_bytes_ += record.info.bytes_written;
    ++forgotten_epochs_;
    return true;
  });
}

// Not for every epoch when many are kept: each time costs in proportion to them.
uint64_t WriterCore::apply_retention(const Retention& policy) {
  if (policy == retention_ && catalog_.epochs.size() < retain_at_) return 0;
  std::vector<EpochTime> times;
  times.reserve(catalog_.epochs.size());
  for (const EpochRecord& record : catalog_.epochs) {
    times.push_back({record.info.epoch, record.info.durable_realtime_ns});
  }
  const std::vector<Epoch> drop = epochs_to_drop(std::span<const EpochTime>(times), policy);
  if (!drop.empty()) forget_epochs(drop);
  retention_ = policy;
  retain_at_ = catalog_.epochs.size() + catalog_.epochs.size() / kRetainShare;
  return drop.size();
}

// More with each pass that was completed.
void WriterCore::copy_more_next_time() {
  copy_bytes_max_ = std::min(2 * copy_bytes_max_, kCopyBytesMax);
}

uint64_t WriterCore::copy_bytes_max() const {
  const bool grown = copy_bytes_max_ == kCopyBytesMax;
  return grown && is_crowded() ? kCopyBytesMaxCrowded : copy_bytes_max_;
}

// About: what was forgotten since the last pass may be needed by other epochs.
uint64_t WriterCore::live_bytes() const {
  const uint64_t appended = log_.appended_bytes() - appended_at_look_;
  return live_bytes_ + appended - std::min(appended, forgotten_bytes_);
}

// What the log takes beyond so many segments of the largest size.
uint64_t WriterCore::bytes_beyond(uint64_t segments) const {
  const uint64_t segment = setup_.segment_bytes != 0 ? setup_.segment_bytes : kSegmentBytesMax;
  const uint64_t allocated = log_.space()->allocated_bytes;
  return allocated - std::min(allocated, segments * segment);
}

bool WriterCore::is_crowded() const {
  return live_bytes_ != 0 && bytes_beyond(kCrowdedSegments) > 2 * live_bytes();
}

double WriterCore::slowdown() const {
  if (live_bytes_ == 0 || collector_fails_) return 1;
  const double share = static_cast<double>(bytes_beyond(kSlowerSegments)) /
                       static_cast<double>(std::max<uint64_t>(live_bytes(), 1));
  const double behind = (share - kSlowerFrom) / (kTenTimesSlowerFrom - kSlowerFrom);
  return std::clamp(std::pow(10, behind), 1.0, kSlowdownMax);
}

// The rest is cut short when it gets crowded meanwhile.
bool WriterCore::collector_has_rested() const {
  const bool restless = slowdown() > 1 || restless_passes_ != 0;
  const uint64_t share = restless ? 0 : is_crowded() ? kRestShareCrowded : kRestShare;
  const uint64_t rest_ns = std::max(share * worked_ns_, collector_fails_ ? kRestAfterErrorNs : 0);
  return setup_.clock->monotonic_ns() >= rest_begin_ns_ + rest_ns;
}

bool WriterCore::worth_collecting() const {
  if (log_.space()->was_full && forgotten_epochs_ != 0) return true;
  const uint64_t segment = setup_.segment_bytes != 0 ? setup_.segment_bytes : kSegmentBytesMin;
  const uint64_t worth = kWorthSegments * segment;
  if (unfinished_ && log_.space()->allocated_bytes > worth) return true;
  return forgotten_epochs_ > std::max<uint64_t>(kWorthEpochs, catalog_.epochs.size()) ||
         forgotten_bytes_ >
             std::max<uint64_t>(worth, log_.space()->allocated_bytes / kForgottenShare);
}

Result<CollectReport> WriterCore::retain(const Retention& policy) {
  settle_done();
  CollectReport report;
  report.epochs_dropped = apply_retention(policy);
  const bool in_caller = setup_.thread == IoQueue::Thread::kNone;
  if (in_caller && collecting_ != Collecting::kNo) collector_->run();  // one step each time
  const Status status = attend();
  if (!status.ok()) collect_error_ = status.error();
  if (collecting_ == Collecting::kNo && ready_ && !failed_ && log_.queue().failure().ok() &&
      worth_collecting() && (in_caller || collector_has_rested())) {
    start_collecting(copy_bytes_max());
  }
  const CollectReport done = report_since_last();
  report.segments_deleted = done.segments_deleted;
  report.bytes_copied = done.bytes_copied;
  if (collect_error_) return *std::exchange(collect_error_, {});
  return report;
}

Result<CollectReport> WriterCore::drop(const std::vector<Epoch>& epochs) {
  PD_TRY(begin_maintenance());
  CollectReport report;
  const uint64_t before = catalog_.epochs.size();
  forget_epochs(epochs);
  report.epochs_dropped = before - catalog_.epochs.size();
  give_up_collecting();
  bool again = true;
  while (again) {
    start_collecting(UINT64_MAX);
    again = false;
    while (collecting_ != Collecting::kNo) {
      collector_->run();
      const bool looked = collecting_ == Collecting::kLooking;
      if (looked) report.live_bytes = collector_->found().live_bytes;
      if (looked) again = collector_->found().short_of_space && !collector_->found().dead.empty();
      PD_TRY(attend());
      if (listing_) PD_TRY(log_.queue().wait(listing_->ticket));
    }
  }
  const CollectReport done = report_since_last();
  report.segments_deleted = done.segments_deleted;
  report.bytes_copied = done.bytes_copied;
  return report;
}

CollectReport WriterCore::report_since_last() {
  if (!collector_->at_rest()) return {};
  const Collector::Totals now = collector_->totals();
  const CollectReport report{0, now.segments_deleted - reported_.segments_deleted,
                             now.bytes_copied - reported_.bytes_copied, 0};
  reported_ = now;
  return report;
}

// --- a pass

void WriterCore::start_collecting(uint64_t copy_bytes_max) {
  PD_ASSERT(collecting_ == Collecting::kNo && !listing_ && collector_->at_rest());
  Collector::Work work;
  for (const EpochRecord& record : catalog_.epochs) {
    work.epochs.push_back({record.info.epoch, record.commit});
  }
  work.catalog = catalog_place_;
  work.end_segment = filling() ? first_segment_ : log_.first_segment();
  for (const auto& pending : pending_) {
    work.end_segment = std::min(work.end_segment, pending->first_segment);
  }
  // The durable epoch that those in flight, and the next one, are based on.
  FramePlace base;
  if (!pending_.empty()) {
    base = pending_.front()->parent_commit;
  } else if (tip_) {
    base = tip_->commit;
  }
  const auto& epochs = catalog_.epochs;
  if (base.none() || (!epochs.empty() && epochs.back().commit == base)) {
    work.copy_bytes_max = copy_bytes_max;
  } else {
    // The writer's own state could not be told where things are then.
    work.roots.push_back(base);
  }
  line_.assign(pending_.begin(), pending_.end());
  line_broken_ = false;
  covered_ = epochs.empty() ? Epoch() : epochs.back().info.epoch;
  forgets_ = forgotten_epochs_ != 0;
  live_bytes_ = live_bytes_ == 0 ? 0 : live_bytes();  // until the collector has looked
  appended_at_look_ = log_.appended_bytes();
  forgotten_bytes_ = forgotten_epochs_ = 0;
  unfinished_ = false;
  log_.space()->was_full = false;
  work.dead_first = copy_bytes_max == kCopyBytesFirst;
  if (restless_passes_ != 0) --restless_passes_;
  collecting_ = Collecting::kLooking;
  collector_->find(std::move(work));
}

void WriterCore::end_collecting() {
  collecting_ = Collecting::kNo;
  for (const auto& entry : line_) {
    if (entry->settled) entry->delta = {};
  }
  line_.clear();
  worked_ns_ = collector_->totals().busy_ns - collected_ns_;
  collected_ns_ = collector_->totals().busy_ns;
  rest_begin_ns_ = setup_.clock->monotonic_ns();
}

void WriterCore::give_up_collecting() {
  if (collecting_ == Collecting::kNo) return;
  PD_ASSERT(!listing_);
  collector_->interrupt();
  collector_->discard();
  collector_->run();
  end_collecting();
}

// Puts in force what the collector found, if it is at rest and nothing is being filled. Waits for
// nothing.
Status WriterCore::attend() {
  settle_listing();
  if (collecting_ == Collecting::kNo || listing_ || !collector_->at_rest()) return Ok{};
  if (collecting_ == Collecting::kLooking) {
    if (filling() || failed_ || !log_.queue().failure().ok() || !ready_) return Ok{};
    return attend_finding();
  }
  Status status = collector_->status();
  if (collecting_ == Collecting::kRemoving && status.ok()) copy_more_next_time();
  if (collecting_ == Collecting::kDiscarding && status.ok()) {
    collecting_ = Collecting::kLooking;  // what is dead can go all the same
    return Ok{};
  }
  end_collecting();
  return status;
}

Status WriterCore::attend_finding() {
  Status status = collector_->status();
  const bool copied = collector_->found().compaction != nullptr;
  if (status.ok()) live_bytes_ = collector_->found().live_bytes;
  collector_fails_ = !status.ok();
  unfinished_ = unfinished_ || !status.ok() || collector_->found().more;
  if (!status.ok() && !copied) {
    end_collecting();
    return status;
  }
  if (copied && (line_broken_ || !status.ok())) {
    unfinished_ = true;
    collecting_ = Collecting::kDiscarding;
    collector_->discard();
    return status;
  }
  if (copied && (catch_up() || line_.size() > kLineMax)) return Ok{};
  if (!copied && collector_->found().dead.empty() && !forgets_) {
    copy_more_next_time();
    end_collecting();
    return Ok{};
  }
  status = list_anew();
  if (!status.ok() && !listing_) end_collecting();
  return status;
}

// Gives the collector the epochs that became durable meanwhile, if they are many.
bool WriterCore::catch_up() {
  const auto unsettled =
      std::find_if(line_.begin(), line_.end(), [](const auto& entry) { return !entry->settled; });
  if (static_cast<size_t>(unsettled - line_.begin()) <= kRewriteMax) return false;
  std::vector<EpochPlace> more;
  for (auto at = line_.begin(); at != unsettled; ++at) {
    more.push_back({(*at)->record.info.epoch, (*at)->record.commit});
    (*at)->delta = {};
  }
  covered_ = more.back().epoch;
  line_.erase(line_.begin(), unsettled);
  collector_->copy(std::move(more));
  return true;
}

// Queues a catalog of all epochs where they are now. What was copied is dead space if this fails.
Status WriterCore::list_anew() {
  Collector::Found& found = collector_->found();
  Listing listing;
  listing.dead = std::move(found.dead);
  const std::unique_ptr<Compaction> compaction = std::move(found.compaction);
  if (compaction) {
    // The newest segment is always the one that is written to: recovery begins at its end.
    if (found.end.segment.number > log_.first_segment()) PD_TRY(log_.go_on_in(found.end));
    PD_TRY(rewrite_line(*compaction, listing));
    for (const EpochRecord& record : compaction->records()) {
      move_epoch(record);
    }
    listing.dead.insert(listing.dead.end(), found.victims.begin(), found.victims.end());
  }
  PD_TRY(log_.queue_sync());  // a catalog names nothing that may be lost
  Status status = queue_catalog();
  if (status.ok()) status = log_.queue_sync();
  if (!status.ok()) listing.dead.clear();  // nothing may be deleted on the word of no catalog
  listing.ticket = log_.queue().now();
  listing_ = std::move(listing);
  collecting_ = Collecting::kListing;
  log_.queue().run_behind();
  return status;
}

// New commits for the epochs that the collector does not know, and the writer's state where things
// are now.
Status WriterCore::rewrite_line(Compaction& compaction, Listing& listing) {
  EpochState state = compaction.take_state();
  Rewriter rewriter(&log_, compaction.last());
  std::vector<EpochRecord> records;
  for (const auto& entry : line_) {
    if (!compaction.mover().move_known(entry->delta)) {
      return Error(Code::kInternal, "an epoch shares pages that no other one has");
    }
    if (entry->from_empty) state = {};
    apply(entry->delta, state);
    const Delta* const change = entry->from_empty ? nullptr : &entry->delta;
    records.push_back(PD_TRY(rewriter.write(entry->record, change, state)));
  }
  for (size_t at = 0; at < records.size(); ++at) {
    const EpochRecord before = std::exchange(line_[at]->record, records[at]);
    line_[at]->record.info = before.info;
    listing.before.push_back(before);  // also if it is settled, as it was, before the listing is
    if (line_[at]->settled) move_epoch(records[at]);
  }
  if (!tip_) return Ok{};
  const EpochInfo info = tip_->info;
  state_ = std::move(state);
  tip_ = rewriter.last();
  tip_->info = info;
  return Ok{};
}

// An epoch that is still kept has a new place.
void WriterCore::move_epoch(const EpochRecord& to) {
  EpochRecord* const record = catalog_.find(to.info.epoch);
  if (record == nullptr) return;
  record->commit = to.commit;
  record->depth = to.depth;
  record->chain_bytes = to.chain_bytes;
}

void WriterCore::settle_listing() {
  if (!listing_ || !log_.queue().done(listing_->ticket)) return;
  const Listing listing = *std::exchange(listing_, {});
  if (log_.queue().wait(listing.ticket).ok()) {
    collecting_ = Collecting::kRemoving;
    collector_->remove(listing.dead);
    return;
  }
  // What the collector copied is durable; what was written behind it may be lost.
  failed_ = true;
  for (const EpochRecord& record : listing.before) move_epoch(record);
  end_collecting();
}

Status WriterCore::settle_places() {
  if (!listing_) return Ok{};
  Status status = log_.queue().wait(listing_->ticket);
  settle_listing();
  return status;
}

}  // namespace perdure::store
