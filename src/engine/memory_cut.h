// The pages of one checkpoint: passes that copy while the group runs, and the cut in the stop
// window.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "capture/collect.h"
#include "capture/memory_objects.h"
#include "engine/state.h"
#include "memory/tracker.h"
#include "object/graph.h"
#include "store/epoch_writer.h"

namespace perdure::engine {

class MemoryCut {
 public:
  explicit MemoryCut(GroupState& state) : state_(state) {}

  // Where pages go; before anything is copied.
  void begin(store::EpochWriter* writer) { writer_ = writer; }
  // Parents before children; without it, as the members are numbered.
  void add_to_order(pid_t pid) { order_.push_back(pid); }

  // While the group runs.
  Status precopy();
  // Instead of a cut: no epoch will have what passes copied, so that the next one is to copy it.
  void give_back_passes();
  // Bytes that the cut will probably take.
  uint64_t room_for_cut() const;

  // The window's share of one process's pages; alone: it is the group's only one. Guard pages go
  // into its record.
  Status cut(const capture::CollectedProcess& collected, bool alone, object::Graph* graph);
  // The group runs again: puts the pages that cut() left for this: held ones, hot ones, and what
  // children share of them. False if some of them are lost, so that the group has to be stopped
  // once more; then none are held any more, so that this happens once.
  Result<bool> copy_the_rest();
  // After that, in no hurry.
  void prepare_next();
  // The same for memory that is no process's own.
  Status cut_shared(const capture::MemoryObjects& objects, object::Graph* graph);

  uint64_t pages() const { return pages_; }                // copied so far
  uint64_t held_pages() const { return held_pages_; }      // left for copy_the_rest(), so far
  uint64_t hot_pages() const { return hot_pages_; }        // of the last cut
  uint64_t looked_pages() const { return looked_pages_; }  // of page tables, in the window
  // Which cost the program a page fault since the epoch before.
  uint64_t faulted_pages() const { return faulted_pages_; }

 private:
  Status pass_over_all();
  uint64_t grown_pages() const;  // by processes that were there in the last stop, since then
  Status look_ahead();
  Result<uint64_t> pass_over(Member* member);
  Result<uint64_t> protect_ahead(Member* member);
  memory::PageSet hold(pid_t pid, const memory::PageSet& data);
  Result<memory::PageSet> copy(Member& member, const memory::Scan& scan, bool alone);
  Result<memory::PageSet> compare(Member& member, const memory::Scan& scan, memory::Access access);
  void learn_what_is_hot();
  memory::PageSink sink_for(const Member& member);
  const Member* parent_of(const Member& member) const;  // null: none in the group
  Status share(ObjectId space, ObjectId parent, const memory::PageSet& pages);
  Result<memory::PageSet> share_with_parent(const Member& member, memory::Scan* scan);
  static store::Zeros zeros_in(const Member& member, uint64_t first_page, size_t bytes);

  // Pages of a new process that its parent has put only when what is held is copied.
  struct SharedLater {
    pid_t pid;
    ObjectId space, parent;
    memory::PageSet pages;
  };

  GroupState& state_;
  std::map<pid_t, memory::PageSet> passed_;  // what passes yielded
  // Of each process that was looked at, by passes or by the cut: what of that the epoch is still to
  // get, because it was protected ahead, is held, or is shared later. The epoch has it as it was
  // before, or not at all.
  std::map<pid_t, memory::PageSet> owed_;
  std::vector<SharedLater> shared_later_;  // parents before children
  store::EpochWriter* writer_ = nullptr;
  std::vector<pid_t> order_;
  uint64_t last_pass_pages_ = 0;
  bool may_hold_ = true;
  std::vector<pid_t> held_;  // processes that have pages that are held
  std::vector<pid_t> hot_;   // or hot
  bool alone_ = false;       // of them
  uint64_t held_pages_ = 0, hot_pages_ = 0, hot_pages_changed_ = 0;
  uint64_t pages_ = 0;
  uint64_t looked_pages_ = 0, faulted_pages_ = 0;
};

}  // namespace perdure::engine
