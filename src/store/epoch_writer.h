// EpochWriter: fills one epoch. What is put is hashed and copied into large buffers that are
// written as they fill; nothing is visible before commit. Destroyed without commit, the epoch never
// was, and earlier epochs are as before. After an error of any call the epoch can only be
// abandoned; a full disk is Code::kFull.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"

namespace perdure::store {

class WriterCore;
struct PendingCommit;

// Pages of zeros: absent, or stored as they are where absent means something else than zeros (in a
// private mapping of a file: as in the file).
enum class Zeros : uint8_t { kAbsent, kStored };
enum class Contents : uint8_t { kInherit, kEmpty };

struct EpochInfo {
  Epoch epoch;
  Epoch parent;  // 0: none
  uint64_t captured_realtime_ns = 0;
  uint64_t durable_realtime_ns = 0;  // after a reopen: when the commit was handed to the disk
  uint64_t bytes_written = 0;        // to the log, for this epoch
  uint64_t records_changed = 0;
  uint64_t pages_changed = 0;  // stored anew; zero pages and shared ones do not count
  std::string note;            // the caller's; at most 64 KiB
};

struct CommitInfo {
  uint64_t captured_realtime_ns = 0;
  std::string note;
};

// What became of a submitted epoch: what is known of it now that it is durable, or why it never
// will be. Then no epoch that was begun on it will be either.
struct SettledEpoch {
  Epoch epoch;
  Result<EpochInfo> result;
};

// Epochs that were submitted and are not durable yet, and the bytes of the log that they take; and
// how far behind the collector is: so many times as slowly as it is wanted the next epochs should
// come, or the store takes more than three times what its epochs need.
struct InFlight {
  uint64_t epochs = 0;
  uint64_t bytes = 0;
  double slowdown = 1;  // up to kSlowdownMax
};
inline constexpr double kSlowdownMax = 100;
// begin_epoch() waits while so many are in flight: a second and a half at a hundred a second.
inline constexpr uint64_t kInFlightEpochsMax = 150;

// An epoch on its way to the disk. May be destroyed unwaited.
class PendingEpoch {
 public:
  PendingEpoch(std::shared_ptr<WriterCore> core, std::shared_ptr<PendingCommit> commit);
  Epoch epoch() const;
  // To the log, for this epoch.
  uint64_t bytes_written() const;
  // True if wait() would not wait.
  bool done() const;
  // The epoch once it is durable, or why it is not (then no later epoch that was begun on it can be
  // committed either).
  Result<EpochInfo> wait();

 private:
  std::shared_ptr<WriterCore> core_;
  std::shared_ptr<PendingCommit> commit_;
};

class EpochWriter {
 public:
  EpochWriter(std::shared_ptr<WriterCore> core, Epoch epoch, Epoch parent);
  ~EpochWriter();
  EpochWriter(const EpochWriter&) = delete;
  EpochWriter& operator=(const EpochWriter&) = delete;

  Epoch epoch() const { return epoch_; }
  Epoch parent() const { return parent_; }

  Status put_record(ObjectId object, uint32_t kind, Bytes record);
  // Forgets a record and all pages under this id. Putting it again in the same epoch makes it anew.
  Status erase_object(ObjectId object);

  // data: whole pages. What is put later overrides.
  Status put_pages(ObjectId memory, uint64_t first_page, Bytes data, Zeros zeros = Zeros::kAbsent);
  Status erase_pages(ObjectId memory, uint64_t first_page, uint64_t count);
  // The pages refer to the same stored bytes as source's do now, in this epoch; absent where
  // source's are.
  Status share_pages(ObjectId memory, uint64_t first_page, uint64_t count, ObjectId source,
                     uint64_t source_first_page);

  // Room for whole pages inside the store's own write buffer: a caller that reads into it and
  // passes (a front part of) the same bytes to the next put_pages saves a copy. Valid until the
  // next call on this writer. Between 1 page and 1 MiB.
  Result<MutableBytes> page_buffer();

  // For pages that are put while something stands still that must not wait. make_room() before:
  // memory for so many bytes of pages is there then. Between enter_window() and leave_window() page
  // calls only copy (page_buffer(): not even that): they touch no file, wait for nothing, and
  // allocate only beyond what there was made room for. What they mean is done, and fails, in
  // leave_window(). Records are put outside. Beyond 256 MiB a window may wait.
  Status make_room(uint64_t bytes);
  void enter_window();
  Status leave_window();

  // Returns once the epoch is durable.
  Result<EpochInfo> commit(const CommitInfo& info);
  // Returns once the epoch is on its way; durability is in the order of submission.
  Result<PendingEpoch> submit(const CommitInfo& info);

 private:
  Status kept(Status status);
  Result<std::shared_ptr<PendingCommit>> submitted(const CommitInfo& info);

  std::shared_ptr<WriterCore> core_;
  Epoch epoch_;
  Epoch parent_;
  std::optional<Error> first_error_;
  bool finished_ = false;
};

}  // namespace perdure::store
