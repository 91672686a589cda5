// IoQueue: writes and syncs, executed strictly in order, by a thread of its own or by whoever waits
// for them, so that a small epoch costs no switch of threads and a large one is hashed and copied
// while it is being written. After a failure nothing more is executed until reset(): a commit is
// never written behind something that was lost. Lock order: mutex_ is the only lock and is not held
// during I/O.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"
#include "store/device.h"

namespace perdure::store {

// Memory that direct I/O accepts: aligned to a block.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size);
  uint8_t* data() const { return data_.get(); }
  size_t size() const { return size_; }
  bool valid() const { return data_ != nullptr; }
  // Has the system give its memory up to there now; what is in it stays.
  void touch(size_t bytes);

 private:
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  std::unique_ptr<uint8_t, Free> data_;
  size_t size_ = 0;
  size_t touched_ = 0;  // of its bytes, at least
};

class IoQueue {
 public:
  // A point in the queue: reached when everything before it has been executed.
  using Ticket = uint64_t;
  static constexpr size_t kBufferBytes = 1u << 20;
  // 8 MiB in flight keep a disk busy during the longest hash of a frame; twice that covers a disk
  // that pauses for a few epochs of 4 MiB. More is only memory.
  static constexpr size_t kBytesMax = 16u << 20;
  // Small epochs fill a small part of a buffer each, and only that part takes memory.
  static constexpr size_t kBuffersMax = 64;
  // So many are kept for the next time.
  static constexpr size_t kBuffersKept = 8;

  // kNone: whoever waits executes; kAtOnce: so does whoever calls run_behind().
  enum class Thread : uint8_t { kNone, kAtOnce, kIfUseful };
  // settled: an eventfd that is raised when a sync was executed or given up, and when there is
  // something to execute that no thread will; may be null.
  IoQueue(std::shared_ptr<Device> device, Thread thread, const Fd* settled = nullptr);
  ~IoQueue();

  // A buffer of kBufferBytes; waits while kBuffersMax buffers or kBytesMax bytes are in flight.
  AlignedBuffer take_buffer();
  // The same without waiting, whatever is in flight; whoever takes many gives back what is not
  // written.
  AlignedBuffer take_spare();
  void give_back(AlignedBuffer buffer);

  Ticket write(std::shared_ptr<File> file, uint64_t offset, AlignedBuffer buffer, size_t size,
               Through through = Through::kDirect);
  Ticket sync(std::shared_ptr<File> file);
  Ticket sync_names();
  // Everything queued so far.
  Ticket now() const;

  // Lets the thread begin with what is queued; started at the first call.
  void run_behind();
  // The same if the thread runs already.
  void run_behind_if_started();
  // Executes what is left before the ticket, or waits for the thread to. The error is that of the
  // first failure.
  Status wait(Ticket ticket);
  bool done(Ticket ticket) const;
  // The failure after which nothing is executed, if there was one.
  Status failure() const;
  // Waits for the queue to be empty; forgets the failure that there was by then, and returns it.
  Status reset();

 private:
  enum class Kind : uint8_t { kWrite, kSync, kSyncNames };
  struct Job {
    Kind kind;
    std::shared_ptr<File> file;
    uint64_t offset = 0;
    AlignedBuffer buffer;
    size_t size = 0;
    Through through = Through::kDirect;
  };

  Ticket add(Job job);
  Status execute(const Job& job);
  AlignedBuffer take_locked(std::unique_lock<std::mutex>& lock);
  void put_away_locked(AlignedBuffer buffer);
  void run_one(std::unique_lock<std::mutex>& lock);
  void run_until(std::unique_lock<std::mutex>& lock, Ticket ticket);
  void run_thread();

  std::shared_ptr<Device> device_;
  const Fd* settled_;
  mutable std::mutex mutex_;
  std::condition_variable work_;      // run_behind() or the end
  std::condition_variable progress_;  // a job was executed
  std::deque<Job> jobs_;              // below: all under mutex_
  std::vector<AlignedBuffer> free_;
  size_t buffers_ = 0;  // that exist
  size_t bytes_ = 0;    // in jobs
  bool executing_ = false;
  bool ending_ = false;
  Ticket behind_ = 0;  // up to here the thread may execute
  Ticket added_ = 0;
  Ticket executed_ = 0;
  std::optional<Error> error_;
  Ticket error_at_ = 0;
  Thread may_thread_;
  std::thread thread_;
};

}  // namespace perdure::store
