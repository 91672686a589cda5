#include "capture/process.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include <string_view>

#include "capture/answer.h"
#include "kernel/abi/prctl.h"
#include "kernel/proc/limits.h"
#include "kernel/proc/read.h"

namespace perdure::capture {
namespace {

using kernel::Batch;
using kernel::OnError;
namespace abi = kernel::abi;
namespace proc = kernel::proc;

// prctl(2) fails with EINVAL unless the arguments that it does not use are zero.
size_t ask_prctl(Batch* batch, int option, kernel::Arg argument = {}) {
  return batch->call(SYS_prctl, {option, argument, 0, 0, 0}, OnError::kContinue);
}

// The parent as the program sees it: 0 if it is outside the process's PID namespace.
Result<pid_t> inner_parent(const ProcessView& view, kernel::PidMap* pids) {
  if (view.stat.ppid == 0) return 0;
  const Result<size_t> depth = pids->depth(view.stat.ppid);
  if (!depth.ok()) {
    // It died since: the process has a new parent by now, outside the group or its init.
    if (depth.error().code() == Code::kGone) return 0;
    return depth.error();
  }
  if (*depth < view.status.ns_pid.size()) return 0;
  return pids->inner(view.stat.ppid);
}

Status put_ids(const ProcessView& view, kernel::PidMap* pids, object::Process* record) {
  record->set_pid(view.status.inner_tgid());
  record->set_parent_pid(PD_TRY(inner_parent(view, pids)));
  record->set_process_group(view.status.inner_process_group());
  record->set_session(view.status.inner_session());
  record->set_exit_signal(view.stat.exit_signal);
  record->set_comm(view.stat.comm);
  pids->bind(view.pid, view.status.inner_tgid());
  return {};
}

void put_state(const ProcessView& view, object::Process* record) {
  if (!view.stat.is_zombie()) return;
  record->set_state(object::Process::ZOMBIE);
  record->set_exit_code(view.stat.exit_code);
}

Result<uint64_t> read_number(pid_t pid, std::string_view leaf, int base) {
  const std::string path = proc::path_of(pid, leaf);
  const std::string text = PD_TRY(proc::read_text(path));
  const std::string_view digits = proc::trimmed(text);
  if (const auto number = proc::parse_unsigned(digits, base)) return *number;
  if (const auto number = proc::parse_signed(digits)) return static_cast<uint64_t>(*number);
  return Error(Code::kUnavailable, path + ": not a number: " + std::string(digits));
}

Status put_settings(const ProcessView& view, kernel::PidMap* pids, object::Process* record) {
  record->set_umask(view.status.umask);
  for (const proc::Limit& limit : PD_TRY(proc::read_limits(view.pid))) {
    object::Limit* out = record->add_limits();
    out->set_resource(limit.resource);
    out->set_soft(limit.soft);
    out->set_hard(limit.hard);
  }
  record->set_oom_score_adj(
      static_cast<int32_t>(PD_TRY(read_number(view.pid, "oom_score_adj", 10))));
  record->set_personality(static_cast<uint32_t>(PD_TRY(read_number(view.pid, "personality", 16))));
  record->set_coredump_filter(
      static_cast<uint32_t>(PD_TRY(read_number(view.pid, "coredump_filter", 16))));
  const auto timers = PD_TRY(proc::read_timers(view.pid));
  return put_posix_timers(timers, view.status.threads, pids, record);
}

}  // namespace

Result<bool> read_places(pid_t pid, object::Process* record) {
  bool changed = false;
  const auto put = [&changed](std::string now, std::string* field) {
    changed = changed || *field != now;
    *field = std::move(now);
  };
  put(PD_TRY(proc::read_link(proc::path_of(pid, "exe"))), record->mutable_executable());
  put(PD_TRY(proc::read_link(proc::path_of(pid, "cwd"))), record->mutable_cwd());
  put(PD_TRY(proc::read_link(proc::path_of(pid, "root"))), record->mutable_root());
  int words = 0;
  const std::string command_line = PD_TRY(proc::read_text(proc::path_of(pid, "cmdline")));
  for (std::string_view rest = command_line; !rest.empty(); ++words) {
    const size_t end = std::min(rest.find('\0'), rest.size());
    const bool more = words == record->command_line_size();
    put(std::string(rest.substr(0, end)),
        more ? record->add_command_line() : record->mutable_command_line(words));
    changed = changed || more;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  while (record->command_line_size() > words) {
    record->mutable_command_line()->RemoveLast();
    changed = true;
  }
  return changed;
}

std::string ProcessView::name() const {
  return "pid " + std::to_string(status.inner_tgid()) + " (" + stat.comm + ")";
}

Result<ProcessView> read_process(pid_t pid, proc::Stat stat, proc::TaskStatus status,
                                 kernel::PidMap* pids, object::Process* record) {
  ProcessView view{pid, std::move(stat), std::move(status)};
  PD_TRY_WITHIN(view.name(), put_ids(view, pids, record));
  put_state(view, record);
  if (view.stat.is_zombie()) return view;
  PD_TRY_WITHIN(view.name(), read_places(pid, record));
  PD_TRY_WITHIN(view.name(), put_settings(view, pids, record));
  return view;
}

Result<ProcessView> read_process(pid_t pid, kernel::PidMap* pids, object::Process* record) {
  proc::Stat stat = PD_TRY(proc::read_stat(pid));
  return read_process(pid, std::move(stat), PD_TRY(proc::read_status(pid)), pids, record);
}

ProcessQuery ProcessQuery::add(const ProcessView& view, const object::Process& record,
                               Batch* batch) {
  ProcessQuery query;
  query.actions_ = ActionQuery::add(view.status, batch);
  query.timers_ = TimerQuery::add(record, batch);
  query.dumpable_ = ask_prctl(batch, PR_GET_DUMPABLE);
  query.subreaper_answer_ = batch->out(sizeof(int32_t));
  query.subreaper_ = ask_prctl(batch, PR_GET_CHILD_SUBREAPER, query.subreaper_answer_);
  query.thp_ = ask_prctl(batch, abi::kPrGetThpDisable);
  query.mdwe_ = ask_prctl(batch, abi::kPrGetMdwe);
  query.xstate_answer_ = batch->out(sizeof(uint64_t));
  query.xstate_ = batch->call(SYS_arch_prctl, {abi::kArchGetXcompPerm, query.xstate_answer_},
                              OnError::kContinue);
  return query;
}

Status ProcessQuery::decode(const Batch& batch, object::Process* record) const {
  PD_TRY(actions_.decode(batch, record));
  PD_TRY(timers_.decode(batch, record));
  record->set_dumpable(
      static_cast<uint32_t>(PD_TRY(answer_of(batch, dumpable_, "PR_GET_DUMPABLE"))));
  PD_TRY(answer_of(batch, subreaper_, "PR_GET_CHILD_SUBREAPER"));
  record->set_child_subreaper(batch.value<int32_t>(subreaper_answer_) != 0);
  const int64_t thp = PD_TRY(answer_or(batch, thp_, 0, "PR_GET_THP_DISABLE"));
  record->set_thp_disabled(thp != 0);
  record->set_thp_disable_flags(static_cast<uint32_t>(thp & ~1));  // bit 0 is "disabled" itself
  record->set_mdwe(static_cast<uint32_t>(PD_TRY(answer_or(batch, mdwe_, 0, "PR_GET_MDWE"))));
  if (batch.result(xstate_) == 0)
    record->set_xstate_permitted(batch.value<uint64_t>(xstate_answer_));
  return {};
}

}  // namespace perdure::capture
