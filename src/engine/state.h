// GroupState: everything the engine knows of its running group. Owned by Group; one thread.
#pragma once

#include <sys/types.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "capture/collect.h"
#include "capture/file_identity.h"
#include "capture/files.h"
#include "capture/freeze.h"
#include "capture/sysv_shm.h"
#include "capture/wait_seen.h"
#include "engine/clock_offsets.h"
#include "engine/inherited.h"
#include "engine/missing_pages.h"
#include "engine/options.h"
#include "engine/rest.h"
#include "kernel/features.h"
#include "kernel/pid_map.h"
#include "kernel/proc/namespaces.h"
#include "kernel/task_images.h"
#include "memory/copy.h"
#include "memory/shared.h"
#include "memory/tracker.h"
#include "memory/write_guide.h"
#include "object/id_table.h"
#include "object/instance.pb.h"
#include "store/store.h"

namespace perdure::engine {

// One live process of the group, from one epoch to the next.
struct Member {
  capture::ProcessMemo memo;
  std::unique_ptr<memory::Tracker> tracker;
  ObjectId space;                   // that the tracker belongs to
  std::vector<memory::Area> areas;  // as of the last capture, for pre-copy
  uint64_t resident_bytes = 0;      // then
  uint64_t looked_bytes = 0;        // resident when it was looked at last, before a stop
  uint64_t grown_bytes = 0;         // by which it had grown then since the stop before
  bool fresh = false;               // in no epoch yet: its pages may still be its parent's
  bool has_guard_pages = false;     // as of the last cut
  // Of what was restored, until it was compared once with all pages there; and what the store holds
  // of its pages, for the tracker that is made next.
  std::optional<Inherited> inherited;
  memory::PageSet known;
};

struct StoredRecord {
  uint32_t kind = 0;
  uint64_t checksum = 0;
  uint64_t version = 0;  // as Graph::versions has it; 0: it has none
};

class GroupState {
 public:
  GroupState(std::string group_name, std::unique_ptr<store::Store> opened, kernel::Features probed,
             memory::TrackerFeatures tracking, memory::Copier reserved)
      : name(std::move(group_name)),
        store(std::move(opened)),
        features(probed),
        tracker_features(tracking),
        guide(tracking.write_guide ? memory::LazyGuide::Use::kAllowed
                                   : memory::LazyGuide::Use::kForbidden),
        copier(std::move(reserved)),
        ids(first_free_id(*store)),
        mapped_files(ids, &checksums) {
    if (features.has(kernel::Feature::kCallMarks)) waits.use_marks();
    if (features.disabled(kernel::Feature::kTaskImages)) images.forbid();
  }

  static Result<std::unique_ptr<GroupState>> create(std::string name,
                                                    std::unique_ptr<store::Store> store);

  // Forgets what makes the next epoch smaller than a full one: after a failure nothing of it can be
  // trusted.
  void forget_epoch();
  // The stop that was to prepare a checkpoint has failed: it is to come again, and nothing was
  // taken from the trackers.
  void forget_survey();
  // No page of a lazy restore is missing any more, and the pager has let go.
  void note_pages_there();
  // An epoch that was on its way did not arrive: the next one is full and follows the newest that
  // did.
  void lose_epochs();

  std::string name;
  std::unique_ptr<store::Store> store;
  kernel::Features features;
  memory::TrackerFeatures tracker_features;
  memory::LazyGuide guide;  // of the trackers below
  memory::Copier copier;
  SystemClock clock;

  capture::Scope scope;
  object::Instance instance;
  Fd end;                // pidfd of the init, or of the root
  pid_t waited_pid = 0;  // our child whose end is the group's; 0: not our child
  std::optional<int> wait_status;
  Fd terminal;  // pty master
  std::optional<dev_t> terminal_device;
  std::optional<RestoreReport> restored;
  std::unique_ptr<MissingPages> missing_pages;  // null: every page is there
  Epoch parent;                                 // epoch that the next one follows; 0: the newest
  std::map<Epoch, uint64_t> captured_ns;  // of epochs on their way to the disk, CLOCK_MONOTONIC

  object::IdTable ids;
  kernel::PidMap pids;
  capture::TaskClock task_clock;
  kernel::LazyTaskImages images;  // of the members
  capture::WaitBook waits;
  capture::ChecksumCache checksums;
  capture::MappedFiles mapped_files;
  capture::FileMemo file_memo;
  capture::SysvTable sysv_table;
  std::string engine_ipc;                        // our own IPC namespace
  std::optional<kernel::proc::Namespaces> home;  // of our init, which never changes them
  std::optional<ClockOffsets> clock_offsets;     // of the last epoch
  std::map<pid_t, Member> members;
  std::map<ObjectId, memory::SharedTracker> shared;
  std::map<ObjectId, StoredRecord> stored;  // records of the last epoch
  bool full_next = true;
  // When there is something to be done for the next checkpoint, CLOCK_MONOTONIC: enter a new group
  // (prepare), look at one (look_while_idle).
  std::optional<uint64_t> prepare_at_ns;
  std::optional<uint64_t> look_at_ns;
  std::optional<Rest> looked_at;  // how it was when it was looked at
  uint64_t grown_bytes = 0;       // and by how much it had grown then since the last stop
  uint64_t anonymous_bytes = 0;   // of its memory, then
  uint64_t descriptors = 1024;    // for which there is room (kernel::reserve_descriptors)
  uint64_t cut_pages = 0;         // copied in the window of the last epoch
  uint64_t held_pages = 0;        // and right after it
  uint64_t epoch_pages = 0;       // all that were copied for it
  uint64_t hold_losses = 0;       // the more, the more often held pages were lost lately

 private:
  static void replace_tracker(Member* member);
  static uint64_t first_free_id(const store::Store& store);
};

// The stages of the engine's story, one file each.
Result<CheckpointReport> checkpoint(GroupState* state, const CheckpointOptions& options);
Status detach(GroupState* state);
// When one of the two next is due, CLOCK_MONOTONIC; and doing it.
std::optional<uint64_t> next_preparation_ns(const GroupState& state);
void serve_preparation(GroupState* state);
// Before the first checkpoint of a group, so that it takes less time. The group stops for a moment.
void prepare(GroupState* state);
Status kill_group(GroupState* state);

// When the engine has to end a call at its deadline (capture/interrupted_call.h), CLOCK_MONOTONIC;
// and doing so.
std::optional<uint64_t> next_deadline_ns(const GroupState& state);
void serve_deadlines(GroupState* state);

// Returns when no page of a lazy restore is missing any more; the group runs meanwhile.
Status wait_for_pages(GroupState* state);
// The same, if no epoch can be made before.
Status wait_for_pages_to_save(GroupState* state);
// Every few milliseconds while pages are missing.
void serve_missing_pages(GroupState* state);

// Writes the instance file into the store's folder.
Status save_instance(const GroupState& state);
Result<object::Instance> load_instance(const std::string& directory);
// The boot that is running.
Result<std::string> read_boot_id();

}  // namespace perdure::engine
