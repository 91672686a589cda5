#include "kernel/feature_probes.h"

#include <linux/io_uring.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "base/fd.h"
#include "kernel/abi/capability.h"
#include "kernel/abi/prctl.h"
#include "kernel/bpf.h"
#include "kernel/btf.h"
#include "kernel/memory.h"
#include "kernel/proc/read.h"
#include "kernel/sock_diag.h"
#include "kernel/task_info.h"
#include "kernel/uffd_serve.h"

namespace perdure::kernel {
namespace {

uint64_t own_capabilities() {
  abi::CapabilityHeader header{abi::kCapabilityVersion, 0};
  abi::CapabilityData data = {};
  if (::syscall(SYS_capget, &header, &data) != 0) return 0;
  return data.words[0].effective | static_cast<uint64_t>(data.words[1].effective) << 32;
}

template <int... Capabilities>
bool probe_capabilities() {
  const uint64_t wanted = (abi::capability_bit(Capabilities) | ...);
  return (own_capabilities() & wanted) == wanted;
}

bool probe_checkpoint_files() { return ::access("/proc/self/timers", R_OK) == 0; }

bool probe_kcmp() { return kcmp(::getpid(), ::getpid(), Shared::kMemory).ok(); }

bool probe_pidfd_getfd() {
  Fd process = Fd::adopt(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!process.valid()) return false;
  Fd copy =
      Fd::adopt(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), process.get(), 0)));
  return copy.valid();
}

// A stopped child is the smallest thing that has such a configuration.
bool probe_rseq_configuration() {
  const pid_t child = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (child < 0) return false;
  if (child == 0) {
    while (true) ::pause();
  }
  bool found = false;
  {
    Result<Tracee> tracee = Tracee::seize(child);
    std::vector<pid_t> born;
    found = tracee.ok() && tracee->interrupt().ok() && tracee->wait_rest(&born).ok() &&
            rseq_configuration(child).ok();
    ::kill(child, SIGKILL);
    if (tracee.ok()) tracee->abandon();
  }
  while (::waitpid(child, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  return found;
}

bool probe_unix_diag() {
  Result<SocketDiag> diag = SocketDiag::open();
  Fd socket = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  struct stat found = {};
  if (!diag.ok() || !socket.valid() || ::fstat(socket.get(), &found) != 0) return false;
  return diag->unix_socket(found.st_ino).ok();
}

// A number with something in its upper half.
bool probe_call_marks() {
  int64_t result = static_cast<int64_t>(SYS_getpid) | int64_t{1} << 32;
  asm volatile("syscall" : "+a"(result) : : "rcx", "r11", "memory");
  return result == ::getpid();
}

bool probe_memfd() {
  return Fd::adopt(static_cast<int>(::syscall(SYS_memfd_create, "perdure", MFD_CLOEXEC))).valid();
}

// A program that does nothing is loaded, and not attached.
bool probe_write_guide() {
  const Result<Btf> btf = Btf::read_kernel();
  if (!btf.ok()) return false;
  const Result<uint32_t> tracepoint = btf->id_of(Btf::Kind::kTypedef, "btf_trace_page_fault_user");
  if (!tracepoint.ok()) return false;
  BpfCode code;
  code.exit_with(0);
  return load_tracepoint_program(*tracepoint, code).ok();
}

// The same for an iterator.
bool probe_task_images() {
  const Result<Btf> btf = Btf::read_kernel();
  if (!btf.ok()) return false;
  const Result<uint32_t> iterator = btf->id_of(Btf::Kind::kFunction, "bpf_iter_task");
  if (!iterator.ok()) return false;
  BpfCode code;
  code.exit_with(0);
  return load_task_program(*iterator, code).ok();
}

// Asks for our own pid: whoever may ask is told that it exists, and no process is made. CLONE_VM
// spares the kernel a copy of our page tables on the way there (0.2 ms).
bool probe_set_tid() {
  const pid_t self = ::getpid();
  clone_args args = {};
  args.flags = CLONE_VM;
  args.exit_signal = SIGCHLD;
  args.set_tid = reinterpret_cast<uint64_t>(&self);
  args.set_tid_size = 1;
  return ::syscall(SYS_clone3, &args, sizeof(args)) < 0 && errno == EEXIST;
}

bool probe_mm_map() {
  unsigned int size = 0;
  return ::prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) == 0;
}

bool probe_timer_ids() {
  return ::prctl(abi::kPrTimerCreateRestoreIds, abi::kRestoreIdsGet, 0, 0, 0) >= 0;
}

bool probe_time_namespace() { return ::access("/proc/self/ns/time", F_OK) == 0; }

bool probe_user_namespace() {
  const auto text = proc::read_text("/proc/sys/user/max_user_namespaces");
  if (!text.ok()) return false;
  const auto limit = proc::parse_signed(proc::trimmed(*text));
  return limit && *limit > 0;
}

bool probe_io_uring() {
  io_uring_params parameters = {};
  return Fd::adopt(static_cast<int>(::syscall(SYS_io_uring_setup, 1, &parameters))).valid();
}

using Probe = bool (*)();

// In the order of Feature.
constexpr std::array<Probe, kFeatureCount> kProbes = {
    probe_capabilities<abi::kCapSysPtrace>,
    probe_capabilities<abi::kCapSysAdmin>,
    probe_capabilities<abi::kCapSetuid, abi::kCapSetgid, abi::kCapSetpcap>,
    probe_capabilities<abi::kCapSysResource>,
    probe_capabilities<abi::kCapSysNice>,
    probe_checkpoint_files,
    probe_kcmp,
    probe_pidfd_getfd,
    probe_rseq_configuration,
    probe_unix_diag,
    probe_call_marks,
    probe_task_images,
    has_pagemap_scan,
    has_async_write_protection,
    has_soft_dirty,
    probe_write_guide,
    probe_memfd,
    probe_set_tid,
    probe_mm_map,
    probe_timer_ids,
    probe_time_namespace,
    can_serve_faults,
    probe_user_namespace,
    probe_io_uring,
};

}  // namespace

bool probe_feature(Feature feature) { return kProbes[static_cast<size_t>(feature)](); }

}  // namespace perdure::kernel
