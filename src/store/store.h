// The store: epochs of records and pages in an append-only log, in one directory. Format:
// docs/format/store.md.
//
// Use: one thread owns a Store and its EpochWriters. EpochReaders may be used from other threads,
// one call at a time for for_each_record()/record(), any number at once for the const page
// functions, and may outlive changes to the store: what they need stays readable until they are
// gone. A child process that is forked while a Store is open for writing must close its inherited
// descriptors (close_range), or the store stays locked as long as that child lives.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "store/collect.h"
#include "store/device.h"
#include "store/epoch_reader.h"
#include "store/epoch_writer.h"
#include "store/retention.h"

namespace perdure::store {

enum class Access : uint8_t { kWrite, kRead };
enum class Create : uint8_t { kNever, kIfMissing };
enum class CompressionKind : uint8_t { kNone, kZstd };
// Who writes: a thread of the store while the epoch is being filled, or (for a reproducible order)
// only the caller.
enum class Writing : uint8_t { kBehind, kInline };

struct Options {
  std::string directory;
  Access access =
      Access::kRead;  // kWrite: the one writer; kRead: beside a writer, sees committed epochs
  Create create = Create::kNever;
  CompressionKind compression = CompressionKind::kNone;
  Writing writing = Writing::kBehind;
  uint64_t segment_bytes =
      0;  // all segments of this size (for tests); 0: 4 to 64 MiB, by the store's size
  const Clock* clock = nullptr;              // the system's if null
  std::shared_ptr<Device> device = nullptr;  // a Linux directory if null
};

struct SpaceReport {
  uint64_t segments = 0;
  uint64_t allocated_bytes = 0;  // what the segment files take
};
struct ScrubReport {
  uint64_t epochs = 0;
  uint64_t bytes_checked = 0;
  struct Damage {
    Epoch epoch;
    std::string what;  // file, offset, and why
  };
  std::vector<Damage> damage;  // at most one per epoch
};
struct ScrubProgress {
  uint64_t epochs_done = 0, epochs_total = 0, bytes_checked = 0;
};

class Store {
 public:
  static Result<std::unique_ptr<Store>> open(Options options);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Starts the next epoch. kInherit: it begins as its parent is, and what is put changes that.
  // kEmpty: it begins with nothing (a full epoch); the parent is then only its ancestor. Parent:
  // the newest durable or submitted epoch by default, an older one after a rewind (a branch),
  // Epoch(0) for none. One writer at a time may be filled; a submitted one does not count, so that
  // epoch N+1 is filled while N is being written.
  struct Begin {
    std::optional<Epoch> parent;
    Contents contents = Contents::kInherit;
  };
  Result<std::unique_ptr<EpochWriter>> begin_epoch(Begin begin);
  Result<std::unique_ptr<EpochWriter>> begin_epoch() { return begin_epoch(Begin{}); }

  // For a caller that must not wait: begin_epoch(), put, submit(), and on with the next one. The
  // descriptor polls readable when something may have settled; take_settled() gives the submitted
  // epochs (not committed ones) that did since the last call, in order, and makes it unreadable.
  // Both are for writers. Epochs are kept for take_settled() from the first call of durable_fd()
  // on.
  int durable_fd();
  std::vector<SettledEpoch> take_settled();
  // Putting and begin_epoch() wait only if the disk falls far behind: 16 MiB or 150 epochs. Who
  // must not wait looks here first, and puts its next epoch off.
  InFlight in_flight() const;

  // Durable epochs, oldest first.
  std::vector<EpochInfo> epochs() const;
  std::optional<EpochInfo> newest() const;
  Result<std::unique_ptr<EpochReader>> read_epoch(Epoch epoch) const;

  // Readers: look for what a writer has committed or dropped since.
  Status refresh();

  // Forgets the epochs that the policy does not keep (of many, up to one in 64 a little later); for
  // every epoch, between submit() and begin_epoch(). It waits for nothing: space is given back by a
  // thread of the store, once it is worth it (more than 8 MiB and a quarter of the store, or 256
  // epochs and as many as are kept): segments that nothing needs are deleted, mostly dead ones
  // compacted. Reports what was done since the last call. An error is one of that thread, told
  // once: nothing is lost, and it tries again.
  Result<CollectReport> retain(const Retention& policy);
  // Forgets these epochs (may be none), and gives space back now: waits for epochs under way; none
  // may be being filled.
  Result<CollectReport> drop(const std::vector<Epoch>& epochs);

  // Verifies every checksum of every epoch. progress may be empty; it is called a few times a
  // second at most.
  Result<ScrubReport> scrub(const std::function<void(const ScrubProgress&)>& progress) const;

  Result<SpaceReport> space() const;
  // Damage that was gone around when the store was opened: to be shown to the user.
  const std::vector<std::string>& warnings() const;
  const std::string& name() const;

  // Defined in store_impl.h.
  class Impl;

 private:
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace perdure::store
