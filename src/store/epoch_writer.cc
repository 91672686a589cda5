#include "store/epoch_writer.h"

#include <utility>

#include "base/assert.h"
#include "store/writer_core.h"

namespace perdure::store {

PendingEpoch::PendingEpoch(std::shared_ptr<WriterCore> core, std::shared_ptr<PendingCommit> commit)
    : core_(std::move(core)), commit_(std::move(commit)) {}

Epoch PendingEpoch::epoch() const { return commit_->record.info.epoch; }
uint64_t PendingEpoch::bytes_written() const { return commit_->record.info.bytes_written; }
bool PendingEpoch::done() const { return core_->done(*commit_); }
Result<EpochInfo> PendingEpoch::wait() { return core_->wait(commit_); }

EpochWriter::EpochWriter(std::shared_ptr<WriterCore> core, Epoch epoch, Epoch parent)
    : core_(std::move(core)), epoch_(epoch), parent_(parent) {}

EpochWriter::~EpochWriter() {
  if (!finished_) core_->abandon();
}

// An epoch that lacks what could not be put must never be committed.
Status EpochWriter::kept(Status status) {
  if (!status.ok() && !first_error_) first_error_ = status.error();
  return status;
}

Status EpochWriter::put_record(ObjectId object, uint32_t kind, Bytes record) {
  return kept(core_->put_record(object, kind, record));
}
Status EpochWriter::erase_object(ObjectId object) { return kept(core_->erase_object(object)); }
Status EpochWriter::put_pages(ObjectId memory, uint64_t first_page, Bytes data, Zeros zeros) {
  return kept(core_->put_pages(memory, first_page, data, zeros));
}
Status EpochWriter::erase_pages(ObjectId memory, uint64_t first_page, uint64_t count) {
  return kept(core_->erase_pages(memory, first_page, count));
}
Status EpochWriter::share_pages(ObjectId memory, uint64_t first_page, uint64_t count,
                                ObjectId source, uint64_t source_first_page) {
  return kept(core_->share_pages(memory, first_page, count, source, source_first_page));
}
Result<MutableBytes> EpochWriter::page_buffer() { return core_->page_buffer(); }

Status EpochWriter::make_room(uint64_t bytes) { return kept(core_->make_room(bytes)); }
void EpochWriter::enter_window() { core_->enter_window(); }
Status EpochWriter::leave_window() { return kept(core_->leave_window()); }

Result<std::shared_ptr<PendingCommit>> EpochWriter::submitted(const CommitInfo& info) {
  PD_ASSERT(!finished_);
  if (first_error_) return *first_error_;
  std::shared_ptr<PendingCommit> pending = PD_TRY(core_->submit(info));
  finished_ = true;
  return pending;
}

Result<EpochInfo> EpochWriter::commit(const CommitInfo& info) {
  return core_->wait(PD_TRY(submitted(info)));
}

Result<PendingEpoch> EpochWriter::submit(const CommitInfo& info) {
  std::shared_ptr<PendingCommit> pending = PD_TRY(submitted(info));
  core_->go_on_without_waiting(*pending);
  return PendingEpoch(core_, std::move(pending));
}

}  // namespace perdure::store
