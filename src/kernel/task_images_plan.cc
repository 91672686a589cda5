#include "kernel/task_images_plan.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/assert.h"

namespace perdure::kernel {
namespace {

using Register = BpfRegister;
using Math = BpfMath;
using Size = BpfSize;
using Test = BpfTest;

// Pointers that are followed.
enum class Base : uint8_t {
  kTask,
  kPid,
  kNamespaces,
  kUts,
  kIpc,
  kMount,
  kPidChildren,
  kNetwork,
  kTime,
  kTimeChildren,
  kRealCredentials,
  kCredentials,
  kUser,
  kGroups,
  kIo,
  kSignal,
  kHandlers,
  kMm,
  kFolders,
  kGroupPid,
  kSessionPid,
  kBehindTask,  // the processor's state, where it follows the task
  kNone,
};

enum class Need : uint8_t { kMust, kMay };

// Bytes from the start of `member` to the end of `last`, or of `member` itself.
struct Row {
  Base base;
  const char* structure;
  const char* member;
  const char* last = nullptr;
  Base leads_to = Base::kNone;  // it is a pointer
  Need need = Need::kMust;
  ImageMark mark = ImageMark::kNone;
  uint32_t more_bytes = 0;  // behind, that belong to it
  uint32_t skip_bytes = 0;  // of an array, in front
};

Row pointer(Base base, const char* structure, const char* member, Base leads_to) {
  return {base, structure, member, nullptr, leads_to};
}

Row optional(Base base, const char* structure, const char* member) {
  return {base, structure, member, nullptr, Base::kNone, Need::kMay};
}

Row marked(ImageMark mark, Base base, const char* structure, const char* member,
           Need need = Need::kMust) {
  return {base, structure, member, nullptr, Base::kNone, need, mark};
}

// What a Thread record and the checks of capture/refusals.h come from. A field that a later kernel
// calls otherwise makes images unavailable there; those that a kernel may be built without are
// optional.
std::vector<Row> thread_rows() {
  using enum Base;
  std::vector<Row> rows = {
      marked(ImageMark::kTid, kTask, "task_struct", "pid"),
      marked(ImageMark::kTgid, kTask, "task_struct", "tgid"),
      {kTask, "task_struct", "start_boottime"},
      {kTask, "task_struct", "self_exec_id"},
      pointer(kTask, "task_struct", "thread_pid", kPid),
      // PR_SET_TSC, ARCH_SET_CPUID, speculation
      marked(ImageMark::kFlags, kTask, "task_struct", "thread_info.flags"),
      {kTask, "task_struct", "thread_info.syscall_work"},
      {kTask, "task_struct", "atomic_flags"},  // no_new_privs, speculation
      {kTask, "task_struct", "comm"},
      {kTask, "task_struct", "personality"},
      {kTask, "task_struct", "exit_signal"},
      {kTask, "task_struct", "pdeath_signal"},
      {kTask, "task_struct", "clear_child_tid"},
      {kTask, "task_struct", "sas_ss_sp", "sas_ss_flags"},
      {kTask, "task_struct", "timer_slack_ns"},
      {kTask, "task_struct", "cpus_mask"},
      {kTask, "task_struct", "seccomp.mode"},
      {kTask, "task_struct", "robust_list"},
      optional(kTask, "task_struct", "rseq"),
      optional(kTask, "task_struct", "rseq_len"),
      optional(kTask, "task_struct", "rseq_sig"),
      optional(kTask, "task_struct", "mempolicy"),
      optional(kTask, "task_struct", "thread.io_bitmap"),
      optional(kTask, "task_struct", "thread.iopl_emul"),
      optional(kTask, "task_struct", "thread.features"),  // shadow stacks
      {kTask, "task_struct", "files"},
      pointer(kTask, "task_struct", "fs", kFolders),
      pointer(kTask, "task_struct", "io_context", kIo),
      {kIo, "io_context", "ioprio"},
      pointer(kTask, "task_struct", "real_cred", kRealCredentials),
      {kRealCredentials, "cred", "uid", "cap_ambient"},
      pointer(kRealCredentials, "cred", "user_ns", kUser),
      pointer(kRealCredentials, "cred", "group_info", kGroups),
      {kGroups, "group_info", "ngroups", nullptr, kNone, Need::kMust, ImageMark::kGroups,
       4 * ImagePlan::kGroupsMax},
      pointer(kTask, "task_struct", "cred", kCredentials),
      {kCredentials, "cred", "uid", "cap_ambient"},
      {kUser, "user_namespace", "ns.inum"},
      pointer(kTask, "task_struct", "nsproxy", kNamespaces),
  };
  const struct {
    Base base;
    const char* structure;
    const char* member;
    Need need;
  } namespaces[] = {
      {kUts, "uts_namespace", "uts_ns", Need::kMust},
      {kIpc, "ipc_namespace", "ipc_ns", Need::kMust},
      {kMount, "mnt_namespace", "mnt_ns", Need::kMust},
      {kPidChildren, "pid_namespace", "pid_ns_for_children", Need::kMust},
      {kNetwork, "net", "net_ns", Need::kMust},
      {kTime, "time_namespace", "time_ns", Need::kMay},
      {kTimeChildren, "time_namespace", "time_ns_for_children", Need::kMay},
  };
  for (const auto& each : namespaces) {
    rows.push_back({kNamespaces, "nsproxy", each.member, nullptr, each.base, each.need});
    rows.push_back({each.base, each.structure, "ns.inum", nullptr, kNone, each.need});
  }
  return rows;
}

std::vector<Row> thread_moment_rows() {
  using enum Base;
  return {
      marked(ImageMark::kLevel, kPid, "pid", "level"),
      marked(ImageMark::kSleeps, kTask, "task_struct", "nvcsw"),
      marked(ImageMark::kPending, kTask, "task_struct", "pending.signal"),
  };
}

// What a Process record comes from, except for names of files.
std::vector<Row> process_rows() {
  using enum Base;
  const uint32_t numbers = 16 * ImagePlan::kNumbersMax;  // struct upid
  return {
      pointer(kTask, "task_struct", "signal", kSignal),
      pointer(kTask, "task_struct", "sighand", kHandlers),
      {kTask, "task_struct", "fs", nullptr, kFolders},
      {kFolders, "fs_struct", "umask"},
      {kHandlers, "sighand_struct", "action"},
      marked(ImageMark::kLimits, kSignal, "signal_struct", "rlim"),
      {kSignal, "signal_struct", "oom_score_adj"},
      {kSignal, "signal_struct", "is_child_subreaper"},
      {kSignal, "signal_struct", "nr_threads"},
      // PIDTYPE_PGID and PIDTYPE_SID
      {kSignal, "signal_struct", "pids", nullptr, kGroupPid, Need::kMust, ImageMark::kNone, 0, 16},
      {kGroupPid, "pid", "level", nullptr, kNone, Need::kMust, ImageMark::kNone},
      {kGroupPid, "pid", "numbers", nullptr, kNone, Need::kMust, ImageMark::kProcessGroup, numbers},
      {kSignal, "signal_struct", "pids", nullptr, kSessionPid, Need::kMust, ImageMark::kNone, 0,
       24},
      {kSessionPid, "pid", "level", nullptr, kNone, Need::kMust, ImageMark::kNone},
      {kSessionPid, "pid", "numbers", nullptr, kNone, Need::kMust, ImageMark::kSession, numbers},
      {kTask, "task_struct", "mm", nullptr, kMm, Need::kMust, ImageMark::kMm},
      {kMm, "mm_struct", "flags"},  // dumpable, core filter, MDWE, huge pages
      optional(kMm, "mm_struct", "context.ldt"),
      pointer(kTask, "task_struct", "nsproxy", kNamespaces),
      pointer(kNamespaces, "nsproxy", "ipc_ns", kIpc),
  };
}

std::vector<Row> space_rows() {
  using enum Base;
  return {
      {kMm, "mm_struct", "start_code", "start_brk"},
      marked(ImageMark::kBrk, kMm, "mm_struct", "brk"),
      {kMm, "mm_struct", "start_stack", "env_end"},
      {kMm, "mm_struct", "saved_auxv"},
      {kMm, "mm_struct", "exe_file"},
  };
}

std::vector<Row> process_moment_rows() {
  using enum Base;
  return {
      marked(ImageMark::kLockSequence, kMm, "mm_struct", "mm_lock_seq", Need::kMay),
      marked(ImageMark::kSharedPending, kSignal, "signal_struct", "shared_pending.signal"),
      marked(ImageMark::kCoreState, kSignal, "signal_struct", "core_state"),
      marked(ImageMark::kIpcObjects, kIpc, "ipc_namespace", "ids"),
      marked(ImageMark::kPosixTimers, kSignal, "signal_struct", "posix_timers"),
      marked(ImageMark::kIgnoredTimers, kSignal, "signal_struct", "ignored_posix_timers",
             Need::kMay),
      marked(ImageMark::kRealTimerState, kSignal, "signal_struct", "real_timer.state"),
      marked(ImageMark::kRealTimerAgain, kSignal, "signal_struct", "it_real_incr"),
      marked(ImageMark::kCpuTimers, kSignal, "signal_struct", "it"),
  };
}

constexpr int16_t kKey = -8;
constexpr uint32_t kCountBytes = 8;

uint32_t rounded(uint32_t bytes) { return (bytes + 7) & ~7u; }

}  // namespace

// Finds places for rows, one after the other.
class Planner {
 public:
  explicit Planner(const Btf& btf) : btf_(btf) {}

  Status add(const std::vector<Row>& rows, std::vector<ImagePlan::Step>* steps, uint32_t* end,
             ImagePlan* plan) {
    for (const Row& row : rows) {
      const auto first = btf_.member(row.structure, row.member);
      if (!first.ok() && row.need == Need::kMay) continue;
      uint32_t offset = PD_TRY(first).offset + row.skip_bytes;
      uint32_t bytes = row.leads_to != Base::kNone ? 8 : first->bytes + row.more_bytes;
      if (row.last != nullptr) {
        const auto last = PD_TRY(btf_.member(row.structure, row.last));
        if (last.offset < offset) return Error(Code::kUnavailable, "fields in another order");
        bytes = last.offset + last.bytes - offset;
      }
      const auto from = places_.find(row.base);
      if (row.base != Base::kTask && from == places_.end()) continue;
      steps->push_back(
          {row.base == Base::kTask ? -1 : static_cast<int>(from->second), offset, bytes, *end});
      if (row.leads_to != Base::kNone) places_[row.leads_to] = *end;
      plan->places_[static_cast<size_t>(row.mark)] = {*end, bytes};
      *end += rounded(bytes);
    }
    return {};
  }

  // fpu_state_perm lies in thread_struct.fpu until Linux 6.15, and behind the task from 6.16 on.
  Status add_permission(std::vector<ImagePlan::Step>* steps, uint32_t* end, ImagePlan* plan) {
    auto inside = btf_.member("task_struct", "thread.fpu.perm.__state_perm");
    uint32_t offset = 0;
    if (inside.ok()) {
      offset = inside->offset;
    } else {
      offset = PD_TRY(btf_.size_of("task_struct")) +
               PD_TRY(btf_.member("fpu", "perm.__state_perm")).offset;
    }
    steps->push_back({-1, offset, 8, *end});
    plan->places_[static_cast<size_t>(ImageMark::kStatePermitted)] = {*end, 8};
    *end += 8;
    return {};
  }

  void forget_places() { places_.clear(); }

 private:
  const Btf& btf_;
  std::map<Base, uint32_t> places_;
};

Result<ImagePlan> ImagePlan::make(const Btf& btf) {
  ImagePlan plan;
  Planner planner(btf);
  uint32_t end = 0;
  PD_TRY(planner.add(thread_rows(), &plan.thread_steps_, &end, &plan));
  plan.thread_.compared = end;
  PD_TRY(planner.add(thread_moment_rows(), &plan.thread_steps_, &end, &plan));
  plan.thread_.bytes = end;
  planner.forget_places();
  end = kCountBytes;
  PD_TRY(planner.add(process_rows(), &plan.process_steps_, &end, &plan));
  PD_TRY(planner.add_permission(&plan.process_steps_, &end, &plan));
  plan.space_from_ = end;
  PD_TRY(planner.add(space_rows(), &plan.process_steps_, &end, &plan));
  plan.process_.compared = end;
  PD_TRY(planner.add(process_moment_rows(), &plan.process_steps_, &end, &plan));
  plan.process_.bytes = end;
  return plan;
}

namespace {

constexpr Register kTaskRegister = Register::k7;
constexpr Register kValue = Register::k8;
constexpr Register kNumber = Register::k9;

}  // namespace

BpfCode ImagePlan::program(const Fd& process_map, const Fd& thread_map) const {
  constexpr int16_t kMeta = 0, kTask = 8, kSequence = 16;  // bpf_iter__task, bpf_iter_meta
  BpfCode code;
  BpfCode::Label out;
  const auto take = [&code](const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      if (step.from < 0) {
        code.copy(Register::k3, kTaskRegister);
      } else {
        code.load(Size::k64, Register::k3, kValue, static_cast<int16_t>(step.from));
      }
      code.calculate(Math::kAdd, Register::k3, static_cast<int32_t>(step.offset));
      code.copy(Register::k1, kValue);
      code.calculate(Math::kAdd, Register::k1, static_cast<int32_t>(step.to));
      code.set(Register::k2, static_cast<int32_t>(step.bytes));
      code.call(BPF_FUNC_probe_read_kernel);  // zeros where there is nothing
    }
  };
  code.load(Size::k64, kTaskRegister, Register::k1, kTask);
  code.jump_if(kTaskRegister, Test::kEqual, 0, out);
  code.load(Size::k64, Register::k2, Register::k1, kMeta);
  code.load(Size::k64, kNumber, Register::k2, kSequence);
  code.store(Size::k64, Register::kStackEnd, kKey, 0);
  code.find_value(kValue, process_map, kKey, out);
  code.copy(Register::k1, kNumber);
  code.calculate(Math::kAdd, Register::k1, 1);
  code.store(Size::k64, kValue, 0, Register::k1);
  code.store(Size::k32, Register::kStackEnd, kKey, kNumber);
  code.find_value(kValue, thread_map, kKey, out);
  take(thread_steps_);
  code.load(Size::k32, Register::k1, kValue, static_cast<int16_t>(place(ImageMark::kTid).at));
  code.load(Size::k32, Register::k2, kValue, static_cast<int16_t>(place(ImageMark::kTgid).at));
  code.jump_if(Register::k1, Test::kNotEqual, Register::k2, out);
  code.store(Size::k64, Register::kStackEnd, kKey, 0);
  code.find_value(kValue, process_map, kKey, out);
  take(process_steps_);
  code.place(out);
  code.exit_with(0);
  return code;
}

}  // namespace perdure::kernel
