// WriterCore: from a filled epoch to a durable one.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "kernel/event_files.h"
#include "store/writer_core.h"

namespace perdure::store {
namespace {

// Up to here records and index travel inside the commit frame, so that a small epoch is one write.
constexpr size_t kInlineMax = 512u << 10;

Error not_durable(Epoch epoch, const Error& cause) {
  const std::string remedy =
      cause.code() == Code::kFull ? "free space, or keep fewer epochs" : "check the disk";
  Error error =
      Error(cause).within("epoch " + std::to_string(epoch.value) + " could not be made durable");
  if (!error.remedy().empty()) return error;
  return std::move(error).with_remedy(remedy + "; earlier epochs are intact");
}

}  // namespace

void WriterCore::place_records(FramePlace frame) {
  for (const ObjectId object : records_of_) {
    const auto at = delta_.objects.find(object);
    if (at != delta_.objects.end() && at->second.has_record && at->second.record.frame.none()) {
      at->second.record.frame = frame;
    }
  }
}

Status WriterCore::seal_records() {
  if (records_.size() == kMetadataHeadBytes) return Ok{};
  const std::vector<uint8_t> payload = encode_metadata(std::move(records_), {}, {});
  records_.assign(kMetadataHeadBytes, 0);
  place_records(PD_TRY(log_.append(FrameKind::kMetadata, epoch_, payload)));
  records_of_.clear();
  return Ok{};
}

EpochRecord WriterCore::next_record(const CommitInfo& info) const {
  EpochRecord record;
  record.info.epoch = epoch_;
  record.info.parent = parent_;
  record.info.captured_realtime_ns = info.captured_realtime_ns;
  record.info.durable_realtime_ns = setup_.clock->realtime_ns();
  record.info.records_changed = records_changed_;
  record.info.pages_changed = pages_changed_;
  record.info.note = info.note;
  return record;
}

// Writes the index but for its last piece; returns the frames.
Result<std::vector<FramePlace>> WriterCore::append_index(const EpochRecord& record,
                                                         std::vector<uint8_t>* last) {
  std::vector<FramePlace> frames;
  const IndexSink sink = [&](std::vector<uint8_t> piece) -> Status {
    const auto payload = encode_metadata(std::vector<uint8_t>(kMetadataHeadBytes), piece, {});
    frames.push_back(PD_TRY(log_.append(FrameKind::kMetadata, epoch_, payload)));
    return Ok{};
  };
  if (record.depth == 0) {
    EpochState full = from_empty_ ? EpochState{} : state_;
    apply(delta_, full);
    *last = PD_TRY(encode_index(full, kInlineMax, sink));
  } else {
    *last = PD_TRY(encode_index(delta_, &state_, kInlineMax, sink));
  }
  return frames;
}

// Either what the commit refers to is synced before it, or the commit lists it so that recovery can
// verify it.
Status WriterCore::sync_if_large(Commit& commit) {
  const LogWriter::Unsynced& unsynced = log_.unsynced();
  if (unsynced.bytes > kVerifyBytesMax || !unsynced.in_one_segment ||
      unsynced.frames.size() > kVerifyFramesMax) {
    return log_.queue_sync();
  }
  commit.verify = unsynced.frames;
  return Ok{};
}

Result<std::shared_ptr<PendingCommit>> WriterCore::submit(const CommitInfo& info) {
  PD_ASSERT(filling());
  if (info.note.size() > kNoteBytesMax) {
    return Error(Code::kLimit, "the note of an epoch is larger than 64 KiB");
  }
  const bool had_base = !from_empty_ && tip_.has_value();
  const uint64_t delta_bytes = index_bytes(delta_);
  const uint64_t full_bytes = delta_bytes + (had_base ? index_bytes(state_) : 0);
  const bool full = !had_base || full_index_due(*tip_, delta_bytes, full_bytes);
  Commit commit;
  commit.record = next_record(info);
  commit.record.depth = full ? 0 : tip_->depth + 1;
  commit.record.chain_bytes = full ? 0 : tip_->chain_bytes + delta_bytes;
  if (!full) commit.base = tip_->commit;
  // Records in the commit frame are placed relative to it, which only an index in the same frame
  // can do.
  const uint64_t size = records_.size() + (full ? full_bytes : delta_bytes);
  if (size > kInlineMax) PD_TRY(seal_records());

  std::vector<uint8_t> index;
  commit.index_frames = PD_TRY(append_index(commit.record, &index));
  PD_TRY(log_.flush_pages());
  PD_TRY(sync_if_large(commit));
  const size_t body = index.size() + records_.size() + info.note.size();
  commit.record.info.bytes_written =
      log_.appended_bytes() - bytes_at_begin_ + blocks_of(body + 256) * kBlockSize;
  const auto payload = encode_metadata(std::move(records_), index, encode_commit(commit));
  const FramePlace place = PD_TRY(log_.append(FrameKind::kCommit, epoch_, payload));
  PD_TRY(log_.queue_sync());
  return submitted(std::move(commit.record), place);
}

// The epoch is in the queue: the next one may build on it.
std::shared_ptr<PendingCommit> WriterCore::submitted(EpochRecord record, FramePlace place) {
  place_records(place);
  if (from_empty_) state_ = {};
  apply(delta_, state_);
  record.commit = place;
  const FramePlace based_on = tip_ ? tip_->commit : FramePlace();
  tip_ = record;
  next_epoch_ = Epoch(epoch_.value + 1);
  ++commits_since_catalog_;
  auto pending = std::make_shared<PendingCommit>();
  pending->record = std::move(record);
  pending->ticket = log_.queue().now();
  pending->delta = std::move(delta_);
  pending->from_empty = from_empty_;
  if (!from_empty_) pending->parent_commit = based_on;
  pending->first_segment = first_segment_;
  pending_.push_back(pending);
  if (collecting_ != Collecting::kNo) line_.push_back(pending);
  forget_filling();
  write_catalog_if_due();
  return pending;
}

// --- settling

void WriterCore::settle_front() {
  PendingCommit& front = *pending_.front();
  const Status status = log_.queue().wait(front.ticket);
  front.settled = true;
  if (status.ok()) {
    front.record.info.durable_realtime_ns = setup_.clock->realtime_ns();
    catalog_.add(front.record);
  } else {
    failed_ = true;
    front.error = not_durable(front.record.info.epoch, status.error());
    if (!loss_ && !loss_told_) loss_ = front.error;
  }
  if (collecting_ == Collecting::kNo) front.delta = {};
  if (front.announced) announcements_.push_back(pending_.front());
  pending_.pop_front();
}

void WriterCore::settle_done() {
  while (!pending_.empty() && log_.queue().done(pending_.front()->ticket)) settle_front();
}

void WriterCore::settle_all() {
  while (!pending_.empty()) settle_front();
}

bool WriterCore::done(const PendingCommit& pending) const {
  return pending.settled || log_.queue().done(pending.ticket);
}

std::vector<SettledEpoch> WriterCore::take_settled() {
  kernel::lower_event(settled_event_);
  if (setup_.thread == IoQueue::Thread::kNone) settle_all();  // nobody else executes anything
  settle_done();
  std::vector<SettledEpoch> settled;
  for (const auto& pending : announcements_) {
    if (pending->error) loss_told();
    const EpochInfo& info = pending->record.info;
    settled.push_back({info.epoch, pending->error ? Result<EpochInfo>(*pending->error)
                                                  : Result<EpochInfo>(info)});
  }
  announcements_.clear();
  return settled;
}

InFlight WriterCore::in_flight() const {
  InFlight flight{pending_.size(), 0, slowdown()};
  for (const auto& pending : pending_) flight.bytes += pending->record.info.bytes_written;
  return flight;
}

Result<EpochInfo> WriterCore::wait(const std::shared_ptr<PendingCommit>& pending) {
  while (!pending->settled) settle_front();
  if (pending->error) loss_told();
  log_.queue().run_behind_if_started();
  if (pending->error) return *pending->error;
  return pending->record.info;
}

}  // namespace perdure::store
