#include "memory/read_ahead.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/assert.h"

namespace perdure::memory {
namespace {

constexpr int kNice = 10;
constexpr size_t kHugePageBytes = 2u << 20;
constexpr size_t kBlockBytes = ReadAhead::kBlockPages * kPageSize;

}  // namespace

Result<std::unique_ptr<ReadAhead>> ReadAhead::create() {
  Fd ready = Fd::adopt(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ready.valid()) return Error::system(errno, "eventfd");
  return std::make_unique<ReadAhead>(std::move(ready));
}

ReadAhead::ReadAhead(Fd ready)
    : ready_(std::move(ready)),
      memory_(static_cast<uint8_t*>(std::aligned_alloc(kHugePageBytes, kBlocksMax * kBlockBytes))) {
  PD_ASSERT(memory_ != nullptr);
  // A disk takes requests of a few large pieces faster than of many small ones.
  (void)madvise(memory_.get(), kBlocksMax * kBlockBytes, MADV_HUGEPAGE);
  for (size_t i = kBlocksMax; i-- > 0;) buffers_.push_back(memory_.get() + i * kBlockBytes);
  for (int i = 0; i < kThreads; ++i) threads_.emplace_back([this] { work(); });
}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard lock(mutex_);
    leave_ = true;
  }
  wanted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ReadAhead::ask(std::shared_ptr<PageSource> source, uint64_t first_page, uint64_t pages) {
  PD_ASSERT(!full() && pages > 0 && pages <= kBlockPages);
  ++asked_;
  Block block;
  block.source = std::move(source);
  block.first_page = first_page;
  block.pages = pages;
  {
    const std::lock_guard lock(mutex_);
    to_announce_.push_back(block);
    to_read_.push_back(std::move(block));
  }
  wanted_.notify_one();
}

void ReadAhead::wake_owner() {
  const uint64_t one = 1;
  (void)!::write(ready_.get(), &one, sizeof(one));
}

void ReadAhead::hear() {
  uint64_t count = 0;
  (void)!::read(ready_.get(), &count, sizeof(count));
}

std::optional<ReadAhead::Block> ReadAhead::take() {
  PD_ASSERT(taken_ == nullptr);
  hear();
  const std::lock_guard lock(mutex_);
  if (read_.empty()) return std::nullopt;
  Block block = std::move(read_.front());
  read_.pop_front();
  taken_ = block.bytes.data();
  return block;
}

void ReadAhead::done() {
  PD_ASSERT(asked_ > 0 && taken_ != nullptr);
  --asked_;
  const std::lock_guard lock(mutex_);
  buffers_.push_back(std::exchange(taken_, nullptr));
}

// As many blocks are asked for at most as there are buffers.
MutableBytes ReadAhead::take_buffer(uint64_t pages) {
  PD_ASSERT(!buffers_.empty());
  uint8_t* buffer = buffers_.back();
  buffers_.pop_back();
  return {buffer, pages * kPageSize};
}

// The disk works on the blocks behind the ones that are being checked and placed.
void ReadAhead::announce_all(std::unique_lock<std::mutex>& lock) {
  while (!to_announce_.empty()) {
    const Block block = std::move(to_announce_.front());
    to_announce_.pop_front();
    lock.unlock();
    block.source->announce(block.first_page, block.pages);
    lock.lock();
  }
}

void ReadAhead::work() {
  // The engine, the program, and who serves its touches, go first.
  (void)setpriority(PRIO_PROCESS, 0, kNice);
  std::unique_lock lock(mutex_);
  for (;;) {
    wanted_.wait(lock, [this] { return leave_ || !to_read_.empty(); });
    if (leave_) return;
    Block block = std::move(to_read_.front());
    to_read_.pop_front();
    block.bytes = take_buffer(block.pages);
    announce_all(lock);
    lock.unlock();
    block.status = block.source->stream(block.first_page, block.bytes);
    lock.lock();
    read_.push_back(std::move(block));
    wake_owner();
  }
}

}  // namespace perdure::memory
