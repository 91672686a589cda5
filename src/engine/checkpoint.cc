// One checkpoint. The window begins with the first interrupt and ends with resume(); before it,
// pages are copied while the group runs; after it, records are encoded and everything is made
// durable.
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <asm/termbits.h>

#include <algorithm>
#include <cstring>

#include "base/checksum.h"
#include "base/limits.h"
#include "capture/files.h"
#include "capture/refusals.h"
#include "capture/sysv_shm.h"
#include "engine/clock_offsets.h"
#include "engine/fault.h"
#include "engine/look_ahead.h"
#include "engine/memory_cut.h"
#include "engine/state.h"
#include "engine/timing.h"
#include "kernel/file.h"
#include "kernel/pidfd.h"
#include "kernel/proc/kept_files.h"
#include "kernel/proc/maps.h"
#include "kernel/proc/read.h"
#include "kernel/proc/status.h"
#include "kernel/tracer_thread.h"
#include "memory/fault_cost.h"

namespace perdure::engine {
namespace {

using capture::CollectedProcess;
using capture::Frozen;
using capture::StoppedProcess;

// Below this much resident memory the copy itself is cheaper than a second stop to prepare pre-copy
// passes.
constexpr uint64_t kSurveyBytesMin = 16u << 20;
// The store does not write what passes put before there is a frame of it, of a megabyte.
constexpr uint64_t kUnwrittenBytesMax = 512u << 10;
constexpr uint64_t kLookAfterNs = 5'000'000;

int64_t boottime_ns() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

class Checkpoint {
 public:
  Checkpoint(GroupState* state, const CheckpointOptions& options)
      : state_(*state), options_(options) {}

  Result<CheckpointReport> run() {
    Result<CheckpointReport> report = attempt();
    const bool refused = files_refused_ && may_go_on();
    // Pages that were scanned but not stored would be missed by the next epoch.
    if (refused && writer_ == nullptr) {
      state_.forget_survey();
    } else if (refused) {
      memory_.give_back_passes();
    } else if (!report.ok()) {
      state_.forget_epoch();
    }
    if (report.ok()) state_.file_memo.known.take_back(&graph_.open_files);
    for (const CollectedProcess& collected : collected_) {
      const auto member = state_.members.find(collected.view.pid);
      if ((report.ok() || refused) && member != state_.members.end())
        capture::take_back(collected, &graph_, &member->second.memo);
    }
    return report;
  }

  // What a descriptor is refused for may be over soon, as when a program looks into a file of its
  // own in /proc. Until then only passes have taken something from the trackers, which they get
  // back, and the next epoch has what this one would have had.
  bool may_go_on() const {
    if (state_.full_next) return false;
    // A pager's tracker knows what no other one can find out.
    if (writer_ == nullptr) return state_.missing_pages == nullptr;
    return std::none_of(state_.members.begin(), state_.members.end(),
                        [](const auto& item) { return item.second.fresh; });
  }

  // A program that was started a moment ago: the first look at it, a stop in which it is entered,
  // and memory and a thread that the first checkpoint will need. Large ones wait for that.
  void prepare() {
    const FaultsHeld later;
    if (look_ahead(&state_) >= kSurveyBytesMin) return;
    state_.images.make();
    if (!while_frozen(&Checkpoint::prepare_stopped).ok()) return state_.forget_epoch();
    // Its memory stays with the store.
    if (auto writer = state_.store->begin_epoch(); writer.ok())
      (void)(*writer)->make_room(memory_.room_for_cut());
    look_later();
  }

 private:
  Result<CheckpointReport> attempt() {
    const uint64_t begin_ns = state_.clock.monotonic_ns();
    PD_TRY(wait_for_pages_to_save(&state_));
    // Where much memory is met for the first time, in a first epoch or because the group has grown:
    // stop once without copying, so that what cannot be saved is refused before anything is
    // written, and write protection is there for the passes that copy while the group runs.
    const uint64_t grown_bytes = look_ahead(&state_);
    const bool may_write = state_.full_next && state_.anonymous_bytes >= kUnwrittenBytesMax;
    if (grown_bytes >= kSurveyBytesMin || may_write) PD_TRY(survey());
    writer_ = PD_TRY(state_.store->begin_epoch(beginning()));
    report_.whole = state_.full_next || compares_all();
    PD_TRY(fault_point("begin"));
    memory_.begin(writer_.get());
    // Memory that is new to us takes its time, in which a program that grows would go on doing so.
    PD_TRY(writer_->make_room(memory_.room_for_cut()));
    PD_TRY(memory_.precopy());
    state_.mapped_files.look_again();
    state_.images.wanted_again();
    timing_.mark("precopy");
    report_.precopy_us = timing_.last_us();
    PD_TRY(stop_and_capture());
    while (!PD_TRY(memory_.copy_the_rest())) {
      start_over();
      PD_TRY(stop_and_capture());
    }
    report_.pages = memory_.pages();
    report_.held_pages = memory_.held_pages();
    report_.hot_pages = memory_.hot_pages();
    report_.faulted_pages = memory_.faulted_pages();
    report_.burden_ns = report_.stop_us * 1000 + report_.faulted_pages * memory::write_fault_ns();
    PD_TRY(put_records());
    PD_TRY(fault_point("records"));
    report_.total_us = (state_.clock.monotonic_ns() - begin_ns) / 1000;
    PD_TRY(hand_over());
    memory_.prepare_next();
    report_.total_us = (state_.clock.monotonic_ns() - begin_ns) / 1000;
    report_.timing_json = timing_.json();
    return report_;
  }

  // The first epoch after a restore takes about as long as one that holds everything.
  bool compares_all() const {
    return std::any_of(state_.members.begin(), state_.members.end(), [](const auto& item) {
      return item.second.inherited && !item.second.memo.tracked;
    });
  }

  Status stop_and_capture() {
    PD_TRY(writer_->make_room(memory_.room_for_cut()));
    PD_TRY(while_frozen(&Checkpoint::capture_stopped));
    return writer_->leave_window();
  }

  // The group ran on before all of it was copied, and changed what was to be copied: the epoch is
  // of a later moment. Pages that were put stay, for they are those of the epoch or come again.
  void start_over() {
    for (const CollectedProcess& collected : collected_)
      capture::take_back(collected, &graph_, &state_.members.at(collected.view.pid).memo);
    state_.file_memo.known.take_back(&graph_.open_files);
    forget_captured();
    timing_.fold("lost");
    stopped_us_ = report_.stop_us;
  }

  void forget_captured() {
    collected_.clear();
    report_.threads = 0;
    objects_.clear();
    graph_ = object::Graph();
    files_ = capture::FileCapture();
  }

  // Such a part runs in the thread that traces.
  Status while_frozen(Status (Checkpoint::*part)(Frozen&)) {
    return capture::while_frozen(state_.scope, &state_.task_clock, &state_.waits, state_.clock,
                                 [this, part](Frozen& frozen) { return (this->*part)(frozen); });
  }

  Status capture_stopped(Frozen& frozen) {
    timing_.restart(frozen.stopped_at_ns());
    timing_.mark("stop");
    PD_TRY(fault_point("stop"));
    writer_->enter_window();
    const uint64_t pages_before = memory_.pages();
    PD_TRY(capture_all(&frozen));
    state_.cut_pages = memory_.pages() - pages_before;
    report_.looked_pages = memory_.looked_pages();
    PD_TRY(fault_point("captured"));
    frozen.resume();
    timing_.mark("resume");
    report_.stop_us = stopped_us_ + timing_.since_restart_us();
    fill_group();
    return {};
  }

  Status hand_over() {
    const store::CommitInfo commit{captured_realtime_ns_, note()};
    if (options_.durable) {
      const store::EpochInfo info = PD_TRY(writer_->commit(commit));
      report_.bytes_written = info.bytes_written;
      settle_success(info.epoch);
      look_later();
      return {};
    }
    store::PendingEpoch pending = PD_TRY(writer_->submit(commit));
    report_.bytes_written = pending.bytes_written();
    state_.captured_ns[pending.epoch()] = captured_monotonic_ns_;
    settle_success(pending.epoch());
    return {};
  }

  // Until then the group has probably come to rest again, if it was.
  void look_later() { state_.look_at_ns = state_.clock.monotonic_ns() + kLookAfterNs; }

  store::Store::Begin beginning() const {
    store::Store::Begin begin;
    if (state_.parent.value != 0) begin.parent = state_.parent;
    begin.contents = state_.full_next ? store::Contents::kEmpty : store::Contents::kInherit;
    return begin;
  }

  Status survey() {
    PD_TRY(while_frozen(&Checkpoint::prepare_stopped));
    for (const CollectedProcess& collected : collected_) memory_.add_to_order(collected.view.pid);
    forget_captured();
    return {};
  }

  Status prepare_stopped(Frozen& frozen) {
    timing_.restart(frozen.stopped_at_ns());
    PD_TRY(collect_all(&frozen));
    for (const CollectedProcess& collected : collected_) {
      if (collected.space.value == 0) continue;
      PD_TRY(state_.members.at(collected.view.pid).tracker->arm(collected.areas));
    }
    frozen.resume();
    timing_.fold("survey");
    stopped_us_ = timing_.since_restart_us();
    return {};
  }

  Status capture_all(Frozen* frozen) {
    PD_TRY(collect_all(frozen));
    cut_ = true;
    PD_TRY(fault_point("collected"));
    for (size_t i = 0; i < collected_.size(); ++i) {
      if (collected_[i].space.value != 0)
        PD_TRY(memory_.cut(collected_[i], collected_.size() == 1, &graph_));
      PD_TRY(fault_point("memory"));
    }
    timing_.mark("memory");
    PD_TRY(memory_.cut_shared(objects_, &graph_));
    objects_.clear();
    timing_.mark("shared");
    // After everything that has time left to run was read: a timer may be late by the stop, never
    // early.
    captured_realtime_ns_ = state_.clock.realtime_ns();
    captured_monotonic_ns_ = state_.clock.monotonic_ns();
    captured_boottime_ns_ = boottime_ns();
    fill_clocks(&graph_.group);
    fill_terminal(&graph_.group);
    return {};
  }

  // Where every process has to be: with the init that `run` made, or, adopted, where a restore of
  // this engine brings them back.
  Result<const kernel::proc::Namespaces*> home_namespaces(Frozen& frozen) {
    if (state_.scope.init != 0) return read_home(&state_);
    const auto& processes = frozen.processes();
    const auto first = std::find_if(processes.begin(), processes.end(),
                                    [](const StoppedProcess& process) { return !process.zombie; });
    const pid_t pid = first == processes.end() ? getpid() : first->pid;
    adopted_home_ = PD_TRY(kernel::proc::read_namespaces(pid));
    if (pid == getpid()) return &adopted_home_;
    const auto engine = PD_TRY(kernel::proc::read_namespaces(getpid()));
    PD_TRY(capture::check_engine_namespaces(pid, adopted_home_, engine));
    return &adopted_home_;
  }

  // Records of every process, of their files, and of what those refer to.
  Status collect_all(Frozen* frozen) {
    PD_ASSERT(!frozen->processes().empty());
    const pid_t first = frozen->processes().front().pid;
    const kernel::proc::Namespaces& namespaces = *PD_TRY(home_namespaces(*frozen));
    state_.mapped_files.reset();
    if (state_.scope.init != 0) kernel::proc::keep_files(state_.scope.init);
    if (state_.engine_ipc.empty()) {
      state_.engine_ipc =
          PD_TRY(kernel::proc::read_namespace(getpid(), kernel::proc::Namespace::kIpc));
    }
    capture::CollectContext context{graph_,
                                    state_.ids,
                                    state_.pids,
                                    state_.waits,
                                    state_.mapped_files,
                                    objects_,
                                    namespaces,
                                    kernel::own_tid(),
                                    state_.engine_ipc,
                                    frozen->stopped_at_ns(),
                                    state_.images.get()};
    std::vector<capture::Member> members;
    for (StoppedProcess& process : frozen->processes()) {
      PD_TRY(collect_one(&process, &context));
      report_.threads += process.threads.size();
      if (process.zombie) continue;
      Fd& pidfd = state_.members.at(process.pid).memo.pidfd;
      if (!pidfd.valid()) pidfd = PD_TRY(kernel::pidfd_open(process.pid));
      const object::Process& record = graph_.processes.at(collected_.back().id);
      members.push_back({process.pid, record.pid(), pidfd.get(), record.comm(), true});
      PD_TRY(fault_point("process"));
    }
    PD_TRY(check_apart());
    timing_.mark("processes");
    Status files = collect_files(members);
    files_refused_ = !cut_ && !files.ok() && files.error().code() == Code::kUnsupported;
    PD_TRY(std::move(files));
    timing_.mark("files");
    if (context.no_segments) return {};
    return capture::capture_sysv_segments(first, namespaces.link(kernel::proc::Namespace::kIpc),
                                          state_.engine_ipc, &state_.sysv_table, objects_,
                                          &graph_.group);
  }

  Status collect_one(StoppedProcess* process, capture::CollectContext* context) {
    Member& member = member_for(&state_, process->pid, process->start_ticks);
    if (!process->zombie) {
      PD_TRY(capture::enter_process(process, parent_area(*process), &member.memo, context->images));
      PD_TRY(fault_point("enter"));
      PD_TRY(track(process, &member));
    }
    member.memo.served = state_.missing_pages != nullptr;
    CollectedProcess collected = PD_TRY(capture::collect_process(process, &member.memo, context));
    member.space = collected.space;
    member.areas = collected.areas;
    // What is known of it is of an earlier stop.
    member.resident_bytes =
        member.memo.unchanged ? member.looked_bytes : collected.view.status.rss_bytes;
    collected_.push_back(std::move(collected));
    return {};
  }

  kernel::BatchArea parent_area(const StoppedProcess& process) const {
    const auto parent = state_.members.find(process.stat.ppid);
    return parent == state_.members.end() ? kernel::BatchArea::at(RemoteAddr())
                                          : parent->second.memo.area;
  }

  Status track(StoppedProcess* process, Member* member) {
    if (member->tracker != nullptr && member->memo.tracked) return {};
    memory::TrackerKind kind = memory::best_tracker(state_.tracker_features);
    Fd uffd;
    if (kind == memory::TrackerKind::kPagemapScan) {
      uffd = PD_TRY(capture::take_userfaultfd(process, member->memo));
      if (!uffd.valid()) kind = memory::TrackerKind::kFull;
    }
    member->tracker =
        PD_TRY(memory::Tracker::create(kind, process->pid, std::move(uffd), state_.tracker_features,
                                       &state_.guide, &state_.images));
    member->memo.tracked = true;
    return take_heritage(member);
  }

  // What was written since the restore is not known, unless the pager protects what it brings: all
  // is yielded, and compared.
  Status take_heritage(Member* member) {
    const bool executed = member->inherited &&
                          member->inherited->space() != state_.ids.find(member->memo.space_key());
    if (executed) member->inherited.reset();
    member->fresh = !member->inherited;
    const memory::PageSet known = std::exchange(member->known, {});
    if (!member->inherited) return {};
    if (state_.missing_pages == nullptr) {
      member->tracker->give_back(known);
    } else if (!member->tracker->inherit(known)) {
      state_.missing_pages->forbid_saving();
      return Error(Code::kBusy, "pages of the restore are still missing");
    }
    return {};
  }

  Status check_apart() const {
    std::vector<const capture::ProcessView*> views;
    for (const CollectedProcess& collected : collected_) {
      if (collected.space.value != 0) views.push_back(&collected.view);
    }
    return capture::check_processes_apart(views);
  }

  Status collect_files(const std::vector<capture::Member>& members) {
    capture::FileOptions options;
    options.terminal = state_.terminal_device;
    options.checksums = &state_.checksums;
    options.memo = &state_.file_memo;
    options.images = state_.images.files();
    options.checksum_files = options_.files == FilePolicy::kUnchanged;
    files_ = PD_TRY(capture::capture_files(members, state_.ids, objects_, options));
    size_t next = 0;
    for (const CollectedProcess& collected : collected_) {
      if (collected.space.value == 0) continue;
      object::Process& record = graph_.processes.at(collected.id);
      if (capture::put_files(files_.processes[next++], &record)) note_change(collected);
    }
    graph_.open_files.merge(files_.files);
    for (const auto& [id, version] : files_.versions) graph_.versions[id] = version;
    graph_.open_files.merge(state_.mapped_files.take_records());
    graph_.pipes = std::move(files_.pipes);
    graph_.ptys = std::move(files_.ptys);
    return {};
  }

  // Of the record of a process.
  void note_change(const CollectedProcess& collected) {
    capture::KnownProcess& known = state_.members.at(collected.view.pid).memo.known;
    known.note_change();
    graph_.versions[collected.id] = known.version();
  }

  void fill_group() {
    object::Group& group = graph_.group;
    group.set_name(state_.name);
    group.set_instance_serial(state_.instance.serial());
    for (const CollectedProcess& collected : collected_) group.add_processes(collected.id.value);
    for (const auto& [id, object] : graph_.memory_objects) group.add_memory_objects(id.value);
    for (const auto& [id, file] : graph_.open_files) group.add_open_files(id.value);
    group.set_own_namespaces(state_.instance.own_namespaces());
    group.set_captured_realtime_ns(captured_realtime_ns_);
    utsname names{};
    if (uname(&names) == 0) group.set_kernel_release(names.release);
    *group.mutable_command() = state_.instance.command();
  }

  // Those of a group that has an init of its own are the init's, which never change.
  void fill_clocks(object::Group* group) {
    if (state_.scope.init == 0 || !state_.clock_offsets)
      state_.clock_offsets = read_clock_offsets(collected_.front().view.pid);
    const ClockOffsets offsets = *state_.clock_offsets;
    group->set_captured_monotonic_ns(
        static_cast<uint64_t>(static_cast<int64_t>(captured_monotonic_ns_) + offsets.monotonic_ns));
    group->set_captured_boottime_ns(
        static_cast<uint64_t>(captured_boottime_ns_ + offsets.boottime_ns));
  }

  void fill_terminal(object::Group* group) {
    if (!state_.terminal.valid()) return;
    object::Terminal* terminal = group->mutable_terminal();
    terminal->set_present(true);
    termios2 settings{};
    if (ioctl(state_.terminal.get(), TCGETS2, &settings) == 0)
      terminal->set_termios(&settings, sizeof(settings));
    winsize size{};
    if (ioctl(state_.terminal.get(), TIOCGWINSZ, &size) == 0) {
      terminal->set_rows(size.ws_row);
      terminal->set_columns(size.ws_col);
    }
    pid_t pid = 0;
    if (ioctl(state_.terminal.get(), TIOCGSID, &pid) == 0) terminal->set_session(inner(pid));
    if (ioctl(state_.terminal.get(), TIOCGPGRP, &pid) == 0) terminal->set_foreground(inner(pid));
  }

  pid_t inner(pid_t pid) {
    Result<pid_t> number = pid > 0 ? state_.pids.inner(pid) : Result<pid_t>(0);
    return number.ok() ? *number : 0;
  }

  Status put_records() {
    std::map<ObjectId, StoredRecord> now;
    const auto put = [&](ObjectId id, object::Kind kind, Bytes bytes) -> Status {
      const StoredRecord record{static_cast<uint32_t>(kind), checksum(bytes), version_of(id)};
      auto before = state_.stored.find(id);
      const bool same = before != state_.stored.end() && before->second.kind == record.kind &&
                        before->second.checksum == record.checksum;
      now.emplace(id, record);
      return same ? Status() : writer_->put_record(id, record.kind, bytes);
    };
    const auto keep = [&](ObjectId id) {
      const uint64_t version = version_of(id);
      const auto before = state_.stored.find(id);
      const bool same =
          version != 0 && before != state_.stored.end() && before->second.version == version;
      if (same) now.insert(*before);
      return same;
    };
    PD_TRY(graph_.for_each_encoded(put, keep));
    for (const auto& [id, record] : state_.stored) {
      if (!now.contains(id)) PD_TRY(writer_->erase_object(id));
    }
    now_ = std::move(now);
    return {};
  }

  uint64_t version_of(ObjectId id) const {
    const auto found = graph_.versions.find(id);
    return found == graph_.versions.end() ? 0 : found->second;
  }

  void settle_success(Epoch epoch) {
    state_.stored = std::move(now_);
    state_.full_next = false;
    state_.parent = epoch;
    state_.ids.forget_unused();
    std::erase_if(state_.members, [this](const auto& item) {
      const bool ended =
          std::none_of(collected_.begin(), collected_.end(),
                       [&](const CollectedProcess& c) { return c.view.pid == item.first; });
      if (ended) {
        kernel::proc::forget_files(item.first);
        state_.images.forget(item.first);
        state_.pids.forget(item.first);
        state_.waits.forget(item.first);
      }
      return ended;
    });
    std::erase_if(state_.shared,
                  [this](const auto& item) { return !graph_.memory_objects.contains(item.first); });
    for (auto& [pid, member] : state_.members) {
      member.fresh = false;
      if (state_.missing_pages == nullptr) member.inherited.reset();
    }
    report_.epoch = epoch;
    report_.processes = collected_.size();
  }

  std::string note() const {
    return "{\"stop_us\":" + std::to_string(report_.stop_us) +
           ",\"precopy_us\":" + std::to_string(report_.precopy_us) +
           ",\"total_us\":" + std::to_string(report_.total_us) +
           ",\"processes\":" + std::to_string(collected_.size()) +
           ",\"threads\":" + std::to_string(report_.threads) +
           ",\"pages\":" + std::to_string(report_.pages) +
           ",\"stop_pages\":" + std::to_string(state_.cut_pages) +
           ",\"held_pages\":" + std::to_string(memory_.held_pages()) +
           ",\"hot_pages\":" + std::to_string(memory_.hot_pages()) +
           ",\"faulted_pages\":" + std::to_string(memory_.faulted_pages()) +
           ",\"timing\":" + timing_.json() + "}";
  }

  GroupState& state_;
  CheckpointOptions options_;
  CheckpointReport report_;
  Timing timing_{state_.clock};
  std::unique_ptr<store::EpochWriter> writer_;
  object::Graph graph_;
  capture::MemoryObjects objects_{state_.ids};
  capture::FileCapture files_;
  kernel::proc::Namespaces adopted_home_;
  std::vector<CollectedProcess> collected_;
  MemoryCut memory_{state_};
  bool cut_ = false;            // memory was cut, so that trackers forgot what it yielded
  bool files_refused_ = false;  // before that
  uint64_t stopped_us_ = 0;     // before the window that counts
  std::map<ObjectId, StoredRecord> now_;
  uint64_t captured_realtime_ns_ = 0;
  uint64_t captured_monotonic_ns_ = 0;
  int64_t captured_boottime_ns_ = 0;
};

}  // namespace

void prepare(GroupState* state) { Checkpoint(state, {}).prepare(); }

Result<CheckpointReport> checkpoint(GroupState* state, const CheckpointOptions& options) {
  Result<CheckpointReport> report = Checkpoint(state, options).run();
  // What is missing cannot be told any more, as a look in the stop has shown.
  const bool strayed = !report.ok() && report.error().code() == Code::kBusy &&
                       state->missing_pages != nullptr && !state->missing_pages->may_save();
  return strayed ? Checkpoint(state, options).run() : std::move(report);
}

}  // namespace perdure::engine
