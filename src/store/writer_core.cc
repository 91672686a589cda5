#include "store/writer_core.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/checksum.h"
#include "kernel/event_files.h"

namespace perdure::store {
namespace {

// A catalog is due after so many commits (or a quarter of the epochs), so that recovery walks few
// frames ...
constexpr uint64_t kCatalogCommits = 64;
// ... or after so many bytes (or eight times its own size), so that it does not walk the frames of
// a large epoch.
constexpr uint64_t kCatalogBytes = 4u << 20;

LogWriter::Setup log_setup(const WriterCore::Setup& setup, const Fd* settled_event) {
  LogWriter::Setup log;
  log.device = setup.device;
  log.clock = setup.clock;
  log.store_id = setup.found.store_id;
  log.compress = setup.compress;
  log.space->newest_segment = setup.found.segments.empty() ? 0 : setup.found.segments.back();
  log.space->allocated_bytes = setup.found.allocated_bytes;
  log.segment_bytes = setup.segment_bytes;
  log.thread = setup.thread;
  log.settled_event = settled_event;
  return log;
}

// Any number does that another store does not have.
uint64_t new_store_id(const Clock& clock, const std::string& name) {
  const uint64_t seed[3] = {
      clock.realtime_ns(), clock.monotonic_ns(),
      checksum(Bytes(reinterpret_cast<const uint8_t*>(name.data()), name.size()))};
  return checksum(bytes_of(seed)) | 1;
}

}  // namespace

WriterCore::WriterCore(Setup setup, Fd settled_event)
    : setup_(std::move(setup)),
      files_(setup_.found.files),
      settled_event_(std::move(settled_event)),
      log_(log_setup(setup_, &settled_event_)),
      catalog_(std::move(setup_.found.catalog)),
      catalog_place_(setup_.found.catalog_place),
      commits_since_catalog_(setup_.found.commits_since_catalog),
      next_epoch_(catalog_.next_epoch) {
  log_.set_catalog(catalog_place_);
}

WriterCore::~WriterCore() {
  // Best effort: an unclean end costs the next engine a new segment, nothing else.
  if (filling()) abandon();
  const Status closed = close();
  (void)closed;
}

Result<std::shared_ptr<WriterCore>> WriterCore::create(Setup setup) {
  const bool is_new = setup.found.store_id == 0;
  if (is_new) {
    setup.found.store_id = new_store_id(*setup.clock, setup.device->name());
    setup.found.files = std::make_shared<SegmentSet>(setup.device, setup.found.store_id);
  }
  for (const uint32_t number : setup.found.unwritten) {
    PD_TRY(setup.device->remove(segment_name(number)));
    std::erase(setup.found.segments, number);
  }
  setup.found.files->keep_only(setup.found.segments);
  Fd event = PD_TRY(kernel::make_eventfd(0, kernel::EventCounting::kWhole));
  std::shared_ptr<WriterCore> core(
      new WriterCore(std::move(setup), std::move(event)));  // NOLINT: private constructor
  const Recovered& found = core->setup_.found;
  core->is_new_ = is_new;
  core->make_collector();
  if (is_new) {
    PD_TRY(core->prepare());
  } else if (!found.clean && !core->catalog_.epochs.empty()) {
    // The newest epoch may be complete and yet not durable: the engine before us ended in the
    // middle of its commit.
    const uint32_t segment = core->catalog_.epochs.back().commit.segment;
    const std::shared_ptr<File> file = PD_TRY(found.files->open(segment));
    PD_TRY(file->sync());
  }
  return core;
}

Status WriterCore::prepare() {
  if (ready_) return Ok{};
  if (setup_.found.clean) {
    PD_TRY(log_.resume(setup_.found.end, setup_.found.anchor_sequence));
    setup_.found.clean = false;
    PD_TRY(log_.queue_anchor(catalog_place_, LogWriter::End::kOpen));
    PD_TRY(log_.queue_sync());
    PD_TRY(log_.queue().wait(log_.queue().now()));
  } else {
    PD_TRY(log_.begin_segment(0));
    PD_TRY(log_.queue_sync());
    PD_TRY(log_.queue().wait(log_.queue().now()));  // a first segment without a header is no store
    // Supersedes what a crash left behind. A new store has nothing to supersede.
    if (!is_new_) PD_TRY(write_catalog());
    is_new_ = false;
  }
  ready_ = true;
  return Ok{};
}

// Behind the sync of the last commit, so that it lists durable epochs only; the next sync makes it
// durable itself.
Status WriterCore::queue_catalog() {
  Catalog catalog = catalog_;
  for (const auto& pending : pending_) catalog.add(pending->record);
  ++catalog.sequence;
  catalog.next_epoch = next_epoch_;
  const std::vector<uint8_t> encoded = encode_catalog(catalog);
  const FramePlace place = PD_TRY(log_.append(FrameKind::kCatalog, Epoch(), encoded));
  PD_TRY(log_.queue_anchor(place, LogWriter::End::kOpen));
  catalog_.sequence = catalog.sequence;
  catalog_place_ = place;
  log_.set_catalog(place);
  commits_since_catalog_ = 0;
  catalog_at_bytes_ = log_.appended_bytes();
  catalog_bytes_ = encoded.size();
  return Ok{};
}

Status WriterCore::write_catalog() {
  PD_TRY(queue_catalog());
  PD_TRY(log_.queue_sync());
  return log_.queue().wait(log_.queue().now());
}

Status WriterCore::begin_maintenance() {
  if (filling()) {
    return Error(Code::kInvalid, "epoch " + std::to_string(epoch_.value) + " is being filled");
  }
  settle_all();
  if (failed_ || !log_.queue().failure().ok()) PD_TRY(recover_from_failure());
  PD_TRY(settle_places());
  return prepare();
}

void WriterCore::write_catalog_if_due() {
  const uint64_t commits = std::max<uint64_t>(kCatalogCommits, catalog_.epochs.size() / 4);
  const uint64_t bytes = std::max<uint64_t>(kCatalogBytes, 8 * catalog_bytes_);
  if (commits_since_catalog_ < commits && log_.appended_bytes() - catalog_at_bytes_ < bytes) return;
  (void)queue_catalog();  // no space for a hint: the commit stands, and the next one tries again
}

// --- begin

Status WriterCore::recover_from_failure() {
  settle_all();
  loss_told_ = false;
  (void)settle_places();
  line_broken_ = true;
  log_.start_afresh();
  unfinished_ = true;  // what was lost, and the rest of its segment
  state_ = {};
  tip_.reset();
  ready_ = false;
  setup_.found.clean = false;
  is_new_ = false;
  failed_ = false;
  return Ok{};
}

Status WriterCore::load_state(Epoch parent) {
  const bool is_pending = !pending_.empty() && pending_.back()->record.info.epoch == parent;
  if (!is_pending) settle_all();
  const EpochRecord* record = catalog_.find(parent);
  if (record == nullptr && !is_pending) {
    return Error(Code::kNotFound, "there is no epoch " + std::to_string(parent.value) + " in " +
                                      setup_.device->name());
  }
  if (tip_ && tip_->info.epoch == parent) return Ok{};
  PD_ASSERT(record != nullptr);  // the newest pending epoch is the tip
  PD_TRY(settle_places());
  record = catalog_.find(parent);
  line_broken_ = true;
  EpochState state = PD_TRY(read_state(*files_, record->commit));
  state_ = std::move(state);
  tip_ = *record;
  return Ok{};
}

// Who begins "on the newest epoch" and has not heard that it was lost would build on an older one
// than it believes.
Status WriterCore::tell_of_loss() {
  if (!loss_) return Ok{};
  Error error = *std::move(loss_);
  loss_told();
  return error;
}

void WriterCore::loss_told() {
  loss_.reset();
  loss_told_ = true;
}

Result<Epoch> WriterCore::begin(std::optional<Epoch> parent, Contents contents, Epoch* parent_out) {
  if (filling()) {
    return Error(Code::kInvalid,
                 "epoch " + std::to_string(epoch_.value) + " is still being filled");
  }
  settle_done();
  if (Status status = attend(); !status.ok()) collect_error_ = std::move(status).error();
  while (pending_.size() >= kInFlightEpochsMax) settle_front();
  if (!log_.queue().failure().ok()) settle_all();
  if (!parent && contents == Contents::kInherit) PD_TRY(tell_of_loss());
  loss_.reset();
  if (failed_ || !log_.queue().failure().ok()) PD_TRY(recover_from_failure());
  if (catalog_.epochs.size() + pending_.size() >= kEpochsMax) {
    return Error(Code::kLimit, setup_.device->name() + " holds " + std::to_string(kEpochsMax) +
                                   " epochs, which is the limit")
        .with_remedy("keep fewer epochs");
  }
  PD_TRY(prepare());
  if (!parent) {
    const Epoch durable = catalog_.epochs.empty() ? Epoch() : catalog_.epochs.back().info.epoch;
    parent = pending_.empty() ? durable : pending_.back()->record.info.epoch;
  }
  from_empty_ = contents == Contents::kEmpty || parent->value == 0;
  if (!from_empty_) PD_TRY(load_state(*parent));
  mark_ = PD_TRY(log_.mark());
  first_segment_ = log_.first_segment();
  bytes_at_begin_ = log_.appended_bytes();
  forget_filling();
  epoch_ = next_epoch_;
  parent_ = *parent;
  *parent_out = parent_;
  return epoch_;
}

void WriterCore::forget_filling() {
  delta_ = {};
  parking_.clear();
  records_.assign(kMetadataHeadBytes, 0);
  records_of_.clear();
  records_changed_ = pages_changed_ = 0;
  epoch_ = {};
}

void WriterCore::abandon() {
  PD_ASSERT(filling());
  forget_filling();
  settle_all();  // before the queue is reset, which forgets whom a failure struck
  (void)settle_places();
  // A catalog may be queued behind the last commit: whoever goes on must know that it was lost.
  failed_ = failed_ || !log_.queue().wait(log_.queue().now()).ok();
  // Only a name can fail to be removed here; what is left then is dead space.
  const Status status = log_.rewind(mark_);
  (void)status;
}

// --- the end

Status WriterCore::close() {
  settle_all();
  (void)settle_places();
  collector_.reset();
  if (!ready_ || failed_ || !log_.has_segment()) return Ok{};
  if (log_.unsynced().bytes != 0) PD_TRY(log_.queue_sync());
  PD_TRY(log_.queue_anchor(catalog_place_, LogWriter::End::kClean));
  PD_TRY(log_.queue_sync());
  ready_ = false;
  return log_.queue().wait(log_.queue().now());
}

}  // namespace perdure::store
