#include "store/io_queue.h"

#include <utility>

#include "base/assert.h"
#include "kernel/event_files.h"
#include "store/format.h"

namespace perdure::store {

AlignedBuffer::AlignedBuffer(size_t size) : size_(size) {
  PD_ASSERT(size % kBlockSize == 0);
  data_.reset(static_cast<uint8_t*>(std::aligned_alloc(kBlockSize, size)));
  PD_ASSERT(data_ != nullptr);
}

void AlignedBuffer::touch(size_t bytes) {
  PD_ASSERT(bytes <= size_);
  for (; touched_ < bytes; touched_ += kPageSize) {
    volatile uint8_t* const at = data_.get() + touched_;
    *at = *at;
  }
}

IoQueue::IoQueue(std::shared_ptr<Device> device, Thread thread, const Fd* settled)
    : device_(std::move(device)), settled_(settled), may_thread_(thread) {
  free_.reserve(kBuffersKept);
}

IoQueue::~IoQueue() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  work_.notify_all();
  if (thread_.joinable()) thread_.join();
}

AlignedBuffer IoQueue::take_buffer() {
  std::unique_lock lock(mutex_);
  while (executed_ < added_ &&
         (bytes_ >= kBytesMax || (free_.empty() && buffers_ >= kBuffersMax))) {
    run_until(lock, executed_ + 1);
  }
  return take_locked(lock);
}

AlignedBuffer IoQueue::take_spare() {
  std::unique_lock lock(mutex_);
  return take_locked(lock);
}

AlignedBuffer IoQueue::take_locked(std::unique_lock<std::mutex>& lock) {
  if (free_.empty()) {
    ++buffers_;
    lock.unlock();
    return AlignedBuffer(kBufferBytes);
  }
  AlignedBuffer buffer = std::move(free_.back());
  free_.pop_back();
  return buffer;
}

void IoQueue::give_back(AlignedBuffer buffer) {
  const std::scoped_lock lock(mutex_);
  put_away_locked(std::move(buffer));
}

// The memory of a burst goes back to the system.
void IoQueue::put_away_locked(AlignedBuffer buffer) {
  if (buffer.size() != kBufferBytes) return;
  if (free_.size() < kBuffersKept) {
    free_.push_back(std::move(buffer));
  } else {
    --buffers_;
  }
}

IoQueue::Ticket IoQueue::add(Job job) {
  const std::scoped_lock lock(mutex_);
  bytes_ += job.size;
  jobs_.push_back(std::move(job));
  return ++added_;
}

IoQueue::Ticket IoQueue::write(std::shared_ptr<File> file, uint64_t offset, AlignedBuffer buffer,
                               size_t size, Through through) {
  PD_ASSERT(size <= buffer.size() && size % kBlockSize == 0);
  return add({Kind::kWrite, std::move(file), offset, std::move(buffer), size, through});
}

IoQueue::Ticket IoQueue::sync(std::shared_ptr<File> file) {
  return add({Kind::kSync, std::move(file), 0, {}, 0, {}});
}

IoQueue::Ticket IoQueue::sync_names() { return add({Kind::kSyncNames, nullptr, 0, {}, 0, {}}); }

IoQueue::Ticket IoQueue::now() const {
  const std::scoped_lock lock(mutex_);
  return added_;
}

void IoQueue::run_behind() {
  if (may_thread_ == Thread::kAtOnce) {
    std::unique_lock lock(mutex_);
    run_until(lock, added_);
    return;
  }
  if (may_thread_ == Thread::kNone) {
    if (settled_ != nullptr) kernel::raise_event(*settled_);
    return;
  }
  {
    const std::scoped_lock lock(mutex_);
    behind_ = added_;
    if (!thread_.joinable()) thread_ = std::thread([this] { run_thread(); });
  }
  work_.notify_one();
}

void IoQueue::run_behind_if_started() {
  {
    const std::scoped_lock lock(mutex_);
    if (!thread_.joinable() || executed_ == added_) return;
    behind_ = added_;
  }
  work_.notify_one();
}

Status IoQueue::wait(Ticket ticket) {
  std::unique_lock lock(mutex_);
  run_until(lock, ticket);
  if (error_ && error_at_ <= ticket) return *error_;
  return Ok{};
}

bool IoQueue::done(Ticket ticket) const {
  const std::scoped_lock lock(mutex_);
  return executed_ >= ticket;
}

Status IoQueue::failure() const {
  const std::scoped_lock lock(mutex_);
  if (error_) return *error_;
  return Ok{};
}

Status IoQueue::reset() {
  std::unique_lock lock(mutex_);
  run_until(lock, added_);
  if (const auto error = std::exchange(error_, {})) return *error;
  return Ok{};
}

Status IoQueue::execute(const Job& job) {
  switch (job.kind) {
    case Kind::kWrite:
      return job.file->write_at(job.offset, Bytes(job.buffer.data(), job.size), job.through);
    case Kind::kSync:
      return job.file->sync();
    case Kind::kSyncNames:
      return device_->sync_names();
  }
  return Ok{};
}

// Takes the oldest job; the lock is released while it is executed. Nobody else may be executing.
void IoQueue::run_one(std::unique_lock<std::mutex>& lock) {
  PD_ASSERT(!executing_ && !jobs_.empty());
  executing_ = true;
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  const bool skip = error_.has_value();
  lock.unlock();
  Status status = skip ? Status() : execute(job);
  lock.lock();
  executing_ = false;
  ++executed_;
  bytes_ -= job.size;
  put_away_locked(std::move(job.buffer));
  if (!status.ok()) {
    error_ = std::move(status).error();
    error_at_ = executed_;
  }
  progress_.notify_all();
  if (settled_ != nullptr && job.kind == Kind::kSync) kernel::raise_event(*settled_);
}

void IoQueue::run_until(std::unique_lock<std::mutex>& lock, Ticket ticket) {
  PD_ASSERT(ticket <= added_);
  while (executed_ < ticket) {
    if (executing_) {
      progress_.wait(lock);
    } else {
      run_one(lock);
    }
  }
}

void IoQueue::run_thread() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    if (executing_) {
      progress_.wait(lock);
    } else if (executed_ < behind_) {
      run_one(lock);
    } else {
      work_.wait(lock);
    }
  }
}

}  // namespace perdure::store
