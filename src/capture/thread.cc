#include "capture/thread.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include "capture/answer.h"
#include "capture/credentials.h"
#include "kernel/abi/signal.h"
#include "kernel/sched.h"
#include "kernel/task_info.h"

namespace perdure::capture {
namespace {

using kernel::Batch;

Status put_user_lists(pid_t tid, object::Thread* record) {
  const auto robust = PD_TRY(kernel::get_robust_list(tid));
  record->set_robust_list(robust.head.value);
  record->set_robust_list_length(robust.length);
  const auto rseq = PD_TRY(kernel::rseq_configuration(tid));
  record->set_rseq_pointer(rseq.pointer);
  record->set_rseq_size(rseq.size);
  record->set_rseq_signature(rseq.signature);
  record->set_rseq_flags(rseq.flags);
  return {};
}

}  // namespace

Result<bool> read_scheduling(pid_t tid, object::Thread* record) {
  const auto attributes = PD_TRY(kernel::sched_getattr(tid));
  object::SchedulerState* out = record->mutable_scheduler();
  const bool same = out->policy() == attributes.policy && out->nice() == attributes.nice &&
                    out->priority() == attributes.priority && out->flags() == attributes.flags &&
                    out->runtime_ns() == attributes.runtime_ns &&
                    out->deadline_ns() == attributes.deadline_ns &&
                    out->period_ns() == attributes.period_ns;
  if (same) return false;
  out->set_policy(attributes.policy);
  out->set_nice(attributes.nice);
  out->set_priority(attributes.priority);
  out->set_flags(attributes.flags);
  out->set_runtime_ns(attributes.runtime_ns);
  out->set_deadline_ns(attributes.deadline_ns);
  out->set_period_ns(attributes.period_ns);
  return true;
}

Status read_thread(pid_t tid, const kernel::proc::TaskStatus& status, object::Thread* record) {
  record->set_tid(status.inner_pid());
  record->set_comm(status.name);
  put_credentials(status, record->mutable_credentials());
  PD_TRY(read_scheduling(tid, record));
  record->set_affinity(status.cpus_allowed.data(), status.cpus_allowed.size());
  record->set_io_priority(PD_TRY(kernel::ioprio_get(tid)));
  return put_user_lists(tid, record);
}

Result<kernel::proc::TaskStatus> read_thread(pid_t pid, pid_t tid, object::Thread* record) {
  auto status = PD_TRY(kernel::proc::read_status(pid, tid));
  PD_TRY(read_thread(tid, status, record));
  return status;
}

ThreadQuery ThreadQuery::add(Batch* batch) {
  ThreadQuery query;
  query.altstack_answer_ = batch->out(sizeof(kernel::abi::SigAltStack));
  query.altstack_ = batch->call(SYS_sigaltstack, {0, query.altstack_answer_});
  query.tid_address_answer_ = batch->out(sizeof(uint64_t));
  query.tid_address_ =
      batch->call(SYS_prctl, {PR_GET_TID_ADDRESS, query.tid_address_answer_, 0, 0, 0});
  query.slack_ = batch->call(SYS_prctl, {PR_GET_TIMERSLACK, 0, 0, 0, 0});
  query.death_signal_answer_ = batch->out(sizeof(int32_t));
  query.death_signal_ =
      batch->call(SYS_prctl, {PR_GET_PDEATHSIG, query.death_signal_answer_, 0, 0, 0});
  query.securebits_ = batch->call(SYS_prctl, {PR_GET_SECUREBITS, 0, 0, 0, 0});
  return query;
}

Status ThreadQuery::decode(const Batch& batch, object::Thread* record) const {
  PD_TRY(answer_of(batch, altstack_, "read the alternate signal stack"));
  const auto stack = batch.value<kernel::abi::SigAltStack>(altstack_answer_);
  record->set_altstack_base(stack.base);
  record->set_altstack_size(stack.size);
  record->set_altstack_flags(stack.flags);
  PD_TRY(answer_of(batch, tid_address_, "PR_GET_TID_ADDRESS"));
  record->set_clear_child_tid(batch.value<uint64_t>(tid_address_answer_));
  record->set_timer_slack_ns(
      static_cast<uint64_t>(PD_TRY(answer_of(batch, slack_, "PR_GET_TIMERSLACK"))));
  PD_TRY(answer_of(batch, death_signal_, "PR_GET_PDEATHSIG"));
  record->set_parent_death_signal(batch.value<int32_t>(death_signal_answer_));
  record->mutable_credentials()->set_securebits(
      static_cast<uint32_t>(PD_TRY(answer_of(batch, securebits_, "PR_GET_SECUREBITS"))));
  return {};
}

}  // namespace perdure::capture
