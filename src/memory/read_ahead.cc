#include "memory/read_ahead.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/assert.h"

namespace perdure::memory {
namespace {

constexpr int kNice = 10;

}  // namespace

Result<std::unique_ptr<ReadAhead>> ReadAhead::create() {
  Fd ready = Fd::adopt(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ready.valid()) return Error::system(errno, "eventfd");
  return std::make_unique<ReadAhead>(std::move(ready));
}

ReadAhead::ReadAhead(Fd ready)
    : ready_(std::move(ready)),
      memory_(
          std::make_unique_for_overwrite<uint8_t[]>((kBlocksMax * kBlockPages + 1) * kPageSize)),
      thread_([this] { work(); }) {}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard lock(mutex_);
    leave_ = true;
  }
  wanted_.notify_one();
  thread_.join();
}

// Page aligned, as direct reads and whole-page copies like it.
uint8_t* ReadAhead::buffer(uint64_t number) {
  uint8_t* begin = memory_.get();
  begin += (kPageSize - reinterpret_cast<uint64_t>(begin) % kPageSize) % kPageSize;
  return begin + number % kBlocksMax * kBlockPages * kPageSize;
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
  hear();
  const std::lock_guard lock(mutex_);
  if (read_.empty()) return std::nullopt;
  Block block = std::move(read_.front());
  read_.pop_front();
  return block;
}

void ReadAhead::done() {
  PD_ASSERT(asked_ > 0);
  --asked_;
}

// The disk works on the blocks behind the one that is being checked and placed.
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
  // The program, and who serves its touches, go first.
  (void)setpriority(PRIO_PROCESS, 0, kNice);
  std::unique_lock lock(mutex_);
  for (;;) {
    wanted_.wait(lock, [this] { return leave_ || !to_read_.empty(); });
    if (leave_) return;
    announce_all(lock);
    Block block = std::move(to_read_.front());
    to_read_.pop_front();
    block.bytes = MutableBytes(buffer(begun_++), block.pages * kPageSize);
    lock.unlock();
    block.status = block.source->read(block.first_page, block.bytes);
    lock.lock();
    read_.push_back(std::move(block));
    wake_owner();
  }
}

}  // namespace perdure::memory
