// ReadAhead: threads that read saved pages, checked, before they are placed: while one checks, the
// disk works for the others. One owner asks and takes, not always in the same order; at most
// kBlocksMax blocks are on their way.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/result.h"

namespace perdure::memory {

// Where the pages of one saved address space come from. Any thread.
class PageSource {
 public:
  virtual ~PageSource() = default;
  // Whole pages; what comes out has passed its checksum.
  virtual Status read(uint64_t first_page, MutableBytes out) = 0;
  // The same for pages that are needed once, into page-aligned memory.
  virtual Status stream(uint64_t first_page, MutableBytes out) { return read(first_page, out); }
  // These pages will be read soon: the disk may begin with them.
  virtual void announce(uint64_t /*first_page*/, uint64_t /*pages*/) {}
};

class ReadAhead {
 public:
  static constexpr int kThreads = 3;
  static constexpr size_t kBlocksMax = 8;
  static constexpr uint64_t kBlockPages = 256;

  struct Block {
    std::shared_ptr<PageSource> source;
    uint64_t first_page = 0;
    uint64_t pages = 0;
    Status status;
    MutableBytes bytes;  // valid until done()
  };

  static Result<std::unique_ptr<ReadAhead>> create();
  explicit ReadAhead(Fd ready);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  bool full() const { return asked_ == kBlocksMax; }
  bool idle() const { return asked_ == 0; }
  void ask(std::shared_ptr<PageSource> source, uint64_t first_page, uint64_t pages);
  // A block that has been read: until done() nothing else is taken.
  std::optional<Block> take();
  void done();
  // From any thread: makes ready_fd() readable.
  void wake_owner();
  // Makes it unreadable; while nothing was asked for.
  void hear();
  // Readable when take() has something new.
  int ready_fd() const { return ready_.get(); }

 private:
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  void work();
  void announce_all(std::unique_lock<std::mutex>& lock);
  MutableBytes take_buffer(uint64_t pages);

  Fd ready_;
  // Not touched before it is used: a small program needs little of it.
  std::unique_ptr<uint8_t, Free> memory_;
  size_t asked_ = 0;          // not yet done(); the owner's own count
  uint8_t* taken_ = nullptr;  // the buffer of the block that was taken, likewise
  std::mutex mutex_;          // guards what follows
  std::condition_variable wanted_;
  std::vector<uint8_t*> buffers_;  // that are free
  std::deque<Block> to_read_;
  std::deque<Block> to_announce_;
  std::deque<Block> read_;
  bool leave_ = false;
  std::vector<std::thread> threads_;  // last: they use all of the above
};

}  // namespace perdure::memory
