#include "engine/memory_cut.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/limits.h"
#include "capture/vmas.h"
#include "kernel/proc/stat.h"
#include "memory/frames.h"

namespace perdure::engine {
namespace {

// A pass is worth while as long as it copies clearly less than the one before: a program that
// writes faster than it can be copied is not chased. What is new is written once, so that less will
// do for it.
constexpr int kPrecopyPassesMax = 8;
constexpr uint64_t kPrecopyEnoughPages = 512;
// Where a pass is short, fewer: what is written during a pass is often a burst.
constexpr uint64_t kShortPassPages = 32;
constexpr uint64_t kShortPassNs = 2'000'000;
constexpr double kPrecopyGain = 2, kGrowingGain = 1.33;
// A program that writes more than so many times the fewest pages that are held, between two epochs,
// writes the same pages again and again, so that a pass copies in vain; unless so much of it is
// new.
constexpr uint64_t kChaseFactor = 64;
// A loss is forgotten after so many epochs. After more losses than are worth it, none are held.
constexpr uint64_t kLossCost = 25;
constexpr uint64_t kLossCostMax = 4 * kLossCost;
// The least that there is room for in the window.
constexpr uint64_t kRoomPagesMin = 256;

}  // namespace

Status MemoryCut::precopy() {
  if (order_.empty()) {
    for (const auto& [pid, member] : state_.members) order_.push_back(pid);
  }
  PD_TRY(pass_over_all());
  owed_.clear();
  return {};
}

uint64_t MemoryCut::grown_pages() const {
  uint64_t bytes = 0;
  for (const auto& [pid, member] : state_.members) bytes += member.grown_bytes;
  return bytes >> kPageShift;
}

Status MemoryCut::pass_over_all() {
  const uint64_t much = kChaseFactor * state_.tracker_features.held_pages_min;
  const bool grows = grown_pages() > much;
  if (state_.held_pages > 0 && state_.epoch_pages > much && !grows) return look_ahead();
  uint64_t before = 0;
  for (int pass = 0; pass < kPrecopyPassesMax; ++pass) {
    const uint64_t begin_ns = state_.clock.monotonic_ns();
    uint64_t copied = 0;
    for (pid_t pid : order_) {
      Member& member = state_.members[pid];
      if (member.tracker == nullptr || member.areas.empty()) continue;
      Result<uint64_t> pages = pass_over(&member);
      if (pages.ok()) {
        copied += *pages;
      } else if (pages.error().code() != Code::kGone) {
        return std::move(pages).error();
      }
    }
    last_pass_pages_ = copied;
    const bool is_short = state_.clock.monotonic_ns() - begin_ns < kShortPassNs;
    if (copied <= (is_short ? kShortPassPages : kPrecopyEnoughPages)) return {};
    const double gain = static_cast<double>(before) / static_cast<double>(copied);
    if (pass > 0 && gain < (grows ? kGrowingGain : kPrecopyGain)) return {};
    before = copied;
  }
  return {};
}

// What was written is held in the stop, but need not be looked for there. What cannot be held is
// copied.
Status MemoryCut::look_ahead() {
  for (pid_t pid : order_) {
    Member& member = state_.members[pid];
    if (member.tracker == nullptr || member.areas.empty()) continue;
    const bool may_hold = !member.fresh && member.tracker->may_hold();
    Result<uint64_t> pages = may_hold ? protect_ahead(&member) : pass_over(&member);
    if (!pages.ok() && pages.error().code() != Code::kGone) return std::move(pages).error();
  }
  return {};
}

Result<uint64_t> MemoryCut::protect_ahead(Member* member) {
  const memory::Scan scan = PD_TRY(member->tracker->scan(member->areas, memory::Mode::kAhead));
  faulted_pages_ += scan.faulted_pages;
  if (!scan.put_off) owed_[member->memo.pid] = member->tracker->unyielded();
  return 0;
}

// The passes of a process that has gone since went with its tracker.
void MemoryCut::give_back_passes() {
  for (const auto& [pid, pages] : passed_) {
    const auto member = state_.members.find(pid);
    if (member != state_.members.end() && member->second.tracker != nullptr)
      member->second.tracker->give_back(pages);
  }
}

// What is dirtied while a pass copies takes about as long to copy, and shared memory and trackers
// without passes take what they took last time.
uint64_t MemoryCut::room_for_cut() const {
  return (kRoomPagesMin + 2 * std::max(last_pass_pages_, state_.cut_pages)) << kPageShift;
}

Result<uint64_t> MemoryCut::pass_over(Member* member) {
  memory::Scan scan = PD_TRY(member->tracker->scan(member->areas, memory::Mode::kPrecopy));
  faulted_pages_ += scan.faulted_pages;
  memory::PageSet& passed = passed_[member->memo.pid];
  passed = passed.united(scan.data).united(scan.absent);
  // While both run, a frame that is the same in parent and child was written by neither since the
  // fork, and the parent was looked at first. What is written from now on is found by the next
  // scan.
  memory::PageSet owed;
  if (member->fresh) owed = PD_TRY(share_with_parent(*member, &scan));
  member->tracker->give_back(owed);
  // A process that is alone may get a child while it runs, but what it has written since the last
  // epoch is its own until then. A new one may share with its parent.
  memory::PageSet unread = PD_TRY(copy(*member, scan, order_.size() == 1 && !member->fresh));
  member->tracker->give_back(unread);
  if (!scan.put_off) owed_[member->memo.pid] = member->tracker->unyielded();
  return scan.data.pages();
}

// A page of zeros that lies in a private mapping of a file was written by the program.
store::Zeros MemoryCut::zeros_in(const Member& member, uint64_t first_page, size_t bytes) {
  const uint64_t start = first_page << kPageShift, end = start + bytes;
  auto area = std::partition_point(member.areas.begin(), member.areas.end(),
                                   [start](const memory::Area& each) { return each.end <= start; });
  for (; area != member.areas.end() && area->start < end; ++area) {
    if (area->kind == memory::AreaKind::kFilePrivate) return store::Zeros::kStored;
  }
  return store::Zeros::kAbsent;
}

// Relatives may share pages.
Result<memory::PageSet> MemoryCut::copy(Member& member, const memory::Scan& scan, bool alone) {
  for (const memory::PageRun& run : scan.absent.runs()) {
    PD_TRY(writer_->erase_pages(member.space, run.first, run.count));
  }
  const memory::Access access = alone ? memory::Access::kFast : memory::Access::kGentle;
  if (member.inherited) return compare(member, scan, access);
  const auto room = [this] { return writer_->page_buffer(); };
  return state_.copier.copy(member.memo.pid, scan.data, sink_for(member), access, room);
}

// What the epoch has already is not put again. A part of what was read may be put, which the
// writer's own room does not allow.
Result<memory::PageSet> MemoryCut::compare(Member& member, const memory::Scan& scan,
                                           memory::Access access) {
  member.inherited->note_erased(scan.absent);
  const auto sink = [&, put = sink_for(member)](uint64_t first_page, Bytes bytes) {
    return member.inherited->pass_on(first_page, bytes, put);
  };
  Result<memory::PageSet> unread = state_.copier.copy(member.memo.pid, scan.data, sink, access);
  member.inherited->end_pass();
  return unread;
}

memory::PageSink MemoryCut::sink_for(const Member& member) {
  return [this, &member](uint64_t first_page, Bytes bytes) {
    pages_ += bytes.size() >> kPageShift;
    return writer_->put_pages(member.space, first_page, bytes,
                              zeros_in(member, first_page, bytes.size()));
  };
}

// A process met for the first time shares pages with its parent as fork left them.
Status MemoryCut::cut(const capture::CollectedProcess& collected, bool alone,
                      object::Graph* graph) {
  Member& member = state_.members.at(collected.view.pid);
  // First what is missing, then what is there: pages may come in between.
  if (state_.missing_pages != nullptr)
    member.tracker->set_missing(PD_TRY(state_.missing_pages->pending(collected.space)));
  member.tracker->read_hot_by(alone ? memory::Access::kFast : memory::Access::kGentle);
  memory::Scan scan = PD_TRY(member.tracker->scan(collected.areas, memory::Mode::kCut));
  looked_pages_ += scan.looked_pages;
  faulted_pages_ += scan.faulted_pages;
  if (member.has_guard_pages || !scan.guard.empty()) {
    capture::set_guard_pages(scan.guard, graph->address_spaces.at(collected.space));
    graph->versions.erase(collected.space);
  }
  member.has_guard_pages = !scan.guard.empty();
  memory::PageSet owed;
  if (member.fresh) {
    owed = PD_TRY(share_with_parent(member, &scan));
    if (!owed.empty())
      shared_later_.push_back({member.memo.pid, member.space, parent_of(member)->space, owed});
  } else {
    owed = hold(collected.view.pid, scan.data);
    scan.data = scan.data.without(owed);
  }
  owed_[collected.view.pid] = owed.united(member.tracker->hot());
  if (!member.tracker->hot().empty()) hot_.push_back(collected.view.pid);
  alone_ = alone;
  memory::PageSet unread = PD_TRY(copy(member, scan, alone));
  if (unread.empty()) return {};
  return Error(Code::kIo, collected.view.name() + ": " + std::to_string(unread.pages()) +
                              " pages cannot be read, the first at page " +
                              std::to_string(unread.runs().front().first));
}

memory::PageSet MemoryCut::hold(pid_t pid, const memory::PageSet& data) {
  const bool wanted = may_hold_ && state_.hold_losses <= kLossCostMax;
  if (!wanted || data.pages() < state_.tracker_features.held_pages_min) return {};
  memory::PageSet held = state_.members.at(pid).tracker->hold(data);
  if (!held.empty()) held_.push_back(pid);
  held_pages_ += held.pages();
  return held;
}

Result<bool> MemoryCut::copy_the_rest() {
  bool all = true;
  for (const pid_t pid : held_) {
    Member& member = state_.members.at(pid);
    const memory::Access access = alone_ ? memory::Access::kFast : memory::Access::kGentle;
    const auto room = [this] { return writer_->page_buffer(); };
    Result<memory::PageSet> lost =
        member.tracker->copy_held(state_.copier, sink_for(member), access, room);
    if (lost.ok()) {
      member.tracker->give_back(*lost);
    } else if (lost.error().code() != Code::kGone) {
      return std::move(lost).error();
    }
    all = all && lost.ok() && lost->empty();
  }
  held_.clear();
  may_hold_ = may_hold_ && all;
  owed_.clear();
  const uint64_t others = pages_;
  hot_pages_ = 0;
  for (const pid_t pid : std::exchange(hot_, {})) {
    const Member& member = state_.members.at(pid);
    hot_pages_ += member.tracker->hot().pages();
    if (all) PD_TRY(member.tracker->pass_on_hot(sink_for(member)));
  }
  hot_pages_changed_ = pages_ - others;
  for (const SharedLater& later : std::exchange(shared_later_, {})) {
    if (all) {
      PD_TRY(share(later.space, later.parent, later.pages));
    } else {
      state_.members.at(later.pid).tracker->give_back(later.pages);
    }
  }
  return all;
}

void MemoryCut::prepare_next() {
  state_.held_pages = held_pages_;
  state_.epoch_pages = pages_ - hot_pages_changed_;
  if (state_.hold_losses > 0) --state_.hold_losses;
  if (!may_hold_) state_.hold_losses += kLossCost;
  learn_what_is_hot();
  if (state_.cut_pages + held_pages_ < state_.tracker_features.held_pages_min) return;
  for (auto& [pid, member] : state_.members) {
    if (member.tracker != nullptr && !member.fresh)
      member.tracker->make_room_to_hold(2 * (state_.cut_pages + held_pages_));
  }
}

// They make a stop longer, all of a group together.
void MemoryCut::learn_what_is_hot() {
  uint64_t left = state_.tracker_features.hot_pages_max;
  for (const auto& [pid, member] : state_.members) {
    if (member.tracker != nullptr) left -= member.tracker->hot().pages();
  }
  for (auto& [pid, member] : state_.members) {
    if (member.tracker == nullptr) continue;
    const uint64_t before = member.tracker->hot().pages();
    member.tracker->learn(left);
    left = left + before - member.tracker->hot().pages();
  }
}

const Member* MemoryCut::parent_of(const Member& member) const {
  Result<kernel::proc::Stat> stat = kernel::proc::read_stat(member.memo.pid);
  auto parent = stat.ok() ? state_.members.find(stat->ppid) : state_.members.end();
  if (parent == state_.members.end() || parent->second.space.value == 0) return nullptr;
  return &parent->second;
}

Status MemoryCut::share(ObjectId space, ObjectId parent, const memory::PageSet& pages) {
  for (const memory::PageRun& run : pages.runs()) {
    PD_TRY(writer_->share_pages(space, run.first, run.count, parent, run.first));
  }
  return {};
}

// Takes from the scan what the parent has too, and returns what of that the parent still owes. A
// parent that was not looked at yet has what nobody knows.
Result<memory::PageSet> MemoryCut::share_with_parent(const Member& member, memory::Scan* scan) {
  const Member* const parent = parent_of(member);
  const auto owed_by = owed_.find(parent == nullptr ? 0 : parent->memo.pid);
  if (parent == nullptr || owed_by == owed_.end()) return memory::PageSet();
  Result<memory::PageSet> same = memory::same_frames(parent->memo.pid, member.memo.pid, scan->data);
  // Without the privilege to see frames pages are stored once for each.
  if (!same.ok()) return memory::PageSet();
  memory::PageSet owed = same->intersected(owed_by->second);
  PD_TRY(share(member.space, parent->space, same->without(owed)));
  scan->data = scan->data.without(*same);
  return owed;
}

Status MemoryCut::cut_shared(const capture::MemoryObjects& objects, object::Graph* graph) {
  for (const auto& [id, entry] : objects.entries()) {
    const ObjectId object = id;
    memory::PageSet absent = PD_TRY(state_.shared[object].scan(
        entry.content.get(), entry.record.size(), [&](uint64_t first_page, Bytes bytes) {
          pages_ += bytes.size() >> kPageShift;
          return writer_->put_pages(object, first_page, bytes);
        }));
    for (const memory::PageRun& run : absent.runs()) {
      PD_TRY(writer_->erase_pages(object, run.first, run.count));
    }
    graph->memory_objects[object] = entry.record;
  }
  return {};
}

}  // namespace perdure::engine
