#include "capture/refusals.h"

#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "capture/answer.h"
#include "kernel/abi/prctl.h"
#include "kernel/task_info.h"

namespace perdure::capture {
namespace {

using kernel::Batch;
using kernel::OnError;
using kernel::Shared;
using kernel::proc::Namespace;
using kernel::proc::Namespaces;

constexpr uint64_t kCodeSegment64 = 0x33;  // user code segment of 64-bit mode (asm/segment.h)
constexpr int64_t kSegmentBytes = 16;      // enough to see that there is one

Error refusal(const ProcessView& process, const std::string& reason) {
  return Error(Code::kUnsupported, process.name() + " " + reason + ": it cannot be saved");
}

std::string shared_name(Shared what) {
  switch (what) {
    case Shared::kMemory:
      return "memory";
    case Shared::kFiles:
      return "table of descriptors";
    case Shared::kFilesystem:
      return "current folder, root and umask";
    case Shared::kSignalHandlers:
      return "signal handlers";
    default:
      return "kernel objects";
  }
}

// Neighbours in the kernel's order of objects are the only pairs that can share one.
Status check_apart(std::vector<const ProcessView*> processes, Shared what) {
  Status failed;
  std::sort(processes.begin(), processes.end(), [&](const ProcessView* a, const ProcessView* b) {
    if (a == b || !failed.ok()) return false;
    auto order = kernel::kcmp(a->pid, b->pid, what);
    if (order.ok()) return *order < 0;
    failed = std::move(order).error();
    return false;
  });
  PD_TRY(std::move(failed));
  for (size_t i = 1; i < processes.size(); ++i) {
    const ProcessView& one = *processes[i - 1];
    const ProcessView& other = *processes[i];
    if (PD_TRY(kernel::kcmp(one.pid, other.pid, what)) != 0) continue;
    return refusal(one, "and " + other.name() + " share one " + shared_name(what))
        .with_remedy("try again if one of them is about to execute a program (vfork)");
  }
  return {};
}

}  // namespace

Status check_process(const ProcessView& process) {
  if (process.status.core_dumping) {
    return Error(Code::kBusy, process.name() + " is dumping core")
        .with_remedy("it is about to end");
  }
  if (process.stat.is_zombie() && process.stat.threads > 1) {
    return refusal(process, "goes on after its main thread ended");
  }
  return {};
}

Status check_thread(const ProcessView& process, const kernel::proc::TaskStatus& thread,
                    pid_t engine) {
  if (thread.seccomp_mode != 0) {
    return refusal(process, "has a seccomp filter").with_remedy("start it without its sandbox");
  }
  if (thread.shadow_stack) {
    return refusal(process, "uses a shadow stack")
        .with_remedy("start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
  }
  if (thread.tracer_pid != 0 && thread.tracer_pid != engine) {
    return Error(Code::kBusy,
                 process.name() + " is traced by pid " + std::to_string(thread.tracer_pid))
        .with_remedy("let the debugger detach");
  }
  return {};
}

Status check_registers(const ProcessView& process, const kernel::Registers& registers) {
  if (registers.cs == kCodeSegment64) return {};
  return refusal(process, "runs 32-bit code").with_remedy("use its 64-bit build");
}

Status check_thread_sharing(const ProcessView& process, pid_t tid) {
  const std::string thread = "has a thread (" + std::to_string(tid) + ") with ";
  for (Shared what : {Shared::kFiles, Shared::kFilesystem}) {
    if (tid == process.pid || PD_TRY(kernel::kcmp(process.pid, tid, what)) == 0) continue;
    return refusal(process, thread + "its own " + shared_name(what));
  }
  if (PD_TRY(kernel::syscall_user_dispatch(tid)).mode != 0) {
    return refusal(process, thread + "system calls handled in user space");
  }
  return {};
}

Status check_processes_apart(std::span<const ProcessView* const> processes) {
  if (processes.size() < 2) return {};
  const std::vector<const ProcessView*> all(processes.begin(), processes.end());
  for (Shared what :
       {Shared::kMemory, Shared::kFiles, Shared::kFilesystem, Shared::kSignalHandlers}) {
    PD_TRY(check_apart(all, what));
  }
  return {};
}

Status check_namespaces(const ProcessView& process, const Namespaces& own, const Namespaces& root) {
  std::optional<Namespace> differs = own.first_difference(root);
  if (!differs && own.link(Namespace::kPid) != own.link(Namespace::kPidChildren)) {
    differs = Namespace::kPidChildren;
  }
  if (!differs && own.link(Namespace::kTime) != own.link(Namespace::kTimeChildren)) {
    differs = Namespace::kTimeChildren;
  }
  if (!differs) return {};
  return refusal(process, std::string("is in another namespace (") +
                              kernel::proc::namespace_name(*differs) + ") than its group")
      .with_remedy("attach to the process that is the first in that namespace");
}

Status check_engine_namespaces(pid_t root, const Namespaces& own, const Namespaces& engine) {
  for (Namespace kind : {Namespace::kPid, Namespace::kMount, Namespace::kNetwork, Namespace::kIpc,
                         Namespace::kUts, Namespace::kUser}) {
    if (own.link(kind) == engine.link(kind)) continue;
    return Error(Code::kUnsupported, "pid " + std::to_string(root) + " is in another namespace (" +
                                         kernel::proc::namespace_name(kind) +
                                         ") than perdure: it cannot be saved")
        .with_remedy("run perdure inside of that namespace, for example with nsenter(1)");
  }
  return {};
}

Status check_thread_namespaces(const ProcessView& process, pid_t tid, const Namespaces& leader) {
  if (tid == process.pid) return {};
  for (Namespace kind : {Namespace::kNetwork, Namespace::kIpc, Namespace::kUts}) {
    if (PD_TRY(kernel::proc::read_namespace(tid, kind)) == leader.link(kind)) continue;
    return refusal(process, "has a thread (" + std::to_string(tid) + ") in another namespace (" +
                                kernel::proc::namespace_name(kind) + ")");
  }
  return {};
}

UnusualQuery UnusualQuery::add(Batch* batch) {
  namespace abi = kernel::abi;
  UnusualQuery query;
  for (size_t which = 0; which < query.speculation_.size(); ++which) {
    query.speculation_[which] =
        batch->call(SYS_prctl, {PR_GET_SPECULATION_CTRL, which, 0, 0, 0}, OnError::kContinue);
  }
  query.tsc_answer_ = batch->out(sizeof(int32_t));
  query.tsc_ = batch->call(SYS_prctl, {PR_GET_TSC, query.tsc_answer_, 0, 0, 0}, OnError::kContinue);
  query.cpuid_ = batch->call(SYS_arch_prctl, {abi::kArchGetCpuid, 0}, OnError::kContinue);
  query.policy_answer_ = batch->out(sizeof(int32_t));
  query.policy_ =
      batch->call(SYS_get_mempolicy, {query.policy_answer_, 0, 0, 0, 0}, OnError::kContinue);
  const RemoteAddr segments = batch->out(kSegmentBytes);
  query.segments_ = batch->call(SYS_modify_ldt, {0, segments, kSegmentBytes}, OnError::kContinue);
  return query;
}

Status UnusualQuery::check(const Batch& batch, const ProcessView& process) const {
  for (size_t which = 0; which < speculation_.size(); ++which) {
    if (batch.result(speculation_[which]) !=
        kernel::own_speculation_control(static_cast<int>(which))) {
      return refusal(process, "changed its speculation control (PR_SET_SPECULATION_CTRL)");
    }
  }
  if (batch.result(tsc_) == 0 && batch.value<int32_t>(tsc_answer_) != PR_TSC_ENABLE) {
    return refusal(process, "forbade itself the time stamp counter (PR_SET_TSC)");
  }
  if (batch.result(cpuid_) == 0) return refusal(process, "forbade itself CPUID (ARCH_SET_CPUID)");
  if (batch.result(policy_) == 0 && batch.value<int32_t>(policy_answer_) != 0) {
    return refusal(process, "has a NUMA memory policy (set_mempolicy)");
  }
  if (batch.result(segments_) > 0) {
    return refusal(process, "has segments of its own (modify_ldt)");
  }
  return {};
}

SysvQuery SysvQuery::add(Batch* batch) {
  SysvQuery query;
  query.semaphores_answer_ = batch->out(sizeof(seminfo));
  query.semaphores_ =
      batch->call(SYS_semctl, {0, 0, SEM_INFO, query.semaphores_answer_}, OnError::kContinue);
  query.queues_answer_ = batch->out(sizeof(msginfo));
  query.queues_ = batch->call(SYS_msgctl, {0, MSG_INFO, query.queues_answer_}, OnError::kContinue);
  return query;
}

Status check_sysv(const ProcessView& process, uint64_t semaphores, uint64_t queues) {
  if (semaphores != 0) return refusal(process, "or its group has SysV semaphores");
  if (queues != 0) return refusal(process, "or its group has SysV message queues");
  return {};
}

Status SysvQuery::check(const Batch& batch, const ProcessView& process) const {
  // SEM_INFO counts sets in semusz, MSG_INFO queues in msgpool (semctl(2), msgctl(2)).
  const bool has_semaphores = batch.result(semaphores_) >= 0;
  const bool has_queues = batch.result(queues_) >= 0;
  const int sets = has_semaphores ? batch.value<seminfo>(semaphores_answer_).semusz : 0;
  const int queues = has_queues ? batch.value<msginfo>(queues_answer_).msgpool : 0;
  return check_sysv(process, static_cast<uint64_t>(sets), static_cast<uint64_t>(queues));
}

}  // namespace perdure::capture
