#include "restore/task.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kernel/abi/prctl.h"

namespace perdure::restore {
namespace {

namespace abi = kernel::abi;

constexpr size_t kRobustListHeadBytes = 24;  // the only length that the kernel takes
constexpr uint32_t kDumpableByRoot = 2;      // SUID_DUMP_ROOT; prctl(2) refuses to set it
// AMX tile data is the one large register state that a program must ask for (arch_prctl(2)).
constexpr int kXstateTileData = 18;

void add_prctl(std::string_view what, std::array<kernel::Arg, 5> args, RemoteCalls* calls) {
  calls->add(what, SYS_prctl, {args[0], args[1], args[2], args[3], args[4]});
}

// A process that changed its ids is as dumpable as fs.suid_dumpable says (proc_sys_fs(5)); the
// value 2 comes from there alone. So let this one change an id, and change it back.
void add_identity_change(RemoteCalls* calls) {
  calls->batch().call(SYS_setfsgid, {1});
  calls->batch().call(SYS_setfsgid, {0});
}

}  // namespace

std::string name_of(const object::Process& process) {
  return "pid " + std::to_string(process.pid()) + " (" + process.comm() + ")";
}

void add_rseq_removal(const abi::RseqConfiguration& inherited, RemoteCalls* calls) {
  constexpr int kUnregister = 1;  // RSEQ_FLAG_UNREGISTER
  if (inherited.size == 0) return;
  calls->add("remove its builder's restartable sequences", SYS_rseq,
             {inherited.pointer, inherited.size, kUnregister, inherited.signature});
}

void add_thread_registrations(const object::Thread& thread, RemoteCalls* calls) {
  calls->add("register its robust futex list", SYS_set_robust_list,
             {thread.robust_list(), kRobustListHeadBytes});
  if (thread.rseq_size() != 0) {
    calls->add(
        "register its restartable sequences", SYS_rseq,
        {thread.rseq_pointer(), thread.rseq_size(), thread.rseq_flags(), thread.rseq_signature()});
  }
  calls->add_expecting(thread.tid(), "set its clear_child_tid", SYS_set_tid_address,
                       {thread.clear_child_tid()});
  const RemoteAddr name = calls->batch().in(thread.comm());
  add_prctl("set its name", {PR_SET_NAME, name, 0, 0, 0}, calls);
  add_prctl("set its timer slack", {PR_SET_TIMERSLACK, thread.timer_slack_ns(), 0, 0, 0}, calls);
}

void add_personality(const object::Process& process, RemoteCalls* calls) {
  calls->add("set its personality", SYS_personality, {process.personality()});
}

void add_process_settings(const object::Process& process, RemoteCalls* calls) {
  calls->add("set its umask", SYS_umask, {process.umask()});
  add_prctl("set whether it is a subreaper",
            {PR_SET_CHILD_SUBREAPER, process.child_subreaper() ? 1 : 0, 0, 0, 0}, calls);
  const uint32_t flags = process.thp_disabled() ? process.thp_disable_flags() : 0;
  add_prctl("set its use of huge pages",
            {abi::kPrSetThpDisable, process.thp_disabled() ? 1 : 0, flags, 0, 0}, calls);
  if ((process.xstate_permitted() >> kXstateTileData & 1) != 0) {
    calls->add("permit its AMX state", SYS_arch_prctl, {abi::kArchReqXcompPerm, kXstateTileData});
  }
  if (process.dumpable() == kDumpableByRoot) add_identity_change(calls);
}

void add_thread_end(const object::Thread& thread, RemoteCalls* calls) {
  add_prctl("set its parent death signal",
            {PR_SET_PDEATHSIG, thread.parent_death_signal(), 0, 0, 0}, calls);
}

void add_process_end(const object::Process& process, RemoteCalls* calls) {
  if (process.dumpable() != kDumpableByRoot) {
    add_prctl("set whether it is dumpable", {PR_SET_DUMPABLE, process.dumpable(), 0, 0, 0}, calls);
  }
  if (process.mdwe() != 0) {
    add_prctl("set memory-deny-write-execute", {abi::kPrSetMdwe, process.mdwe(), 0, 0, 0}, calls);
  }
}

}  // namespace perdure::restore
