#include "kernel/features.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/fd.h"
#include "kernel/abi/capability.h"
#include "kernel/feature_probes.h"
#include "kernel/proc/read.h"
#include "kernel/proc/status.h"

namespace perdure::kernel {
namespace {

constexpr FeatureInfo kTable[] = {
    {Feature::kPtrace, "ptrace", "may trace processes of any user: CAP_SYS_PTRACE", Need::kOptional,
     "only processes of the same user, as far as kernel.yama.ptrace_scope lets, can be saved",
     "run as root or with CAP_SYS_PTRACE"},
    {Feature::kNamespaces, "namespaces", "may make namespaces: CAP_SYS_ADMIN", Need::kRequired,
     "`perdure run` and restores into fresh namespaces fail", "run as root or with CAP_SYS_ADMIN"},
    {Feature::kChangeIds, "change_ids",
     "may change user and group ids and capabilities: CAP_SETUID, CAP_SETGID, CAP_SETPCAP",
     Need::kRequired, "a restore cannot give a program its user back",
     "run as root or with these capabilities"},
    {Feature::kRaiseLimits, "raise_limits", "may raise hard limits: CAP_SYS_RESOURCE",
     Need::kOptional,
     "a program whose hard limits were above, or whose oom_score_adj was below, the engine's "
     "cannot "
     "be restored",
     "run with CAP_SYS_RESOURCE, or raise the engine's own limits first"},
    {Feature::kRaisePriority, "raise_priority", "may raise priorities: CAP_SYS_NICE",
     Need::kOptional, "a program with a real-time policy or a raised priority cannot be restored",
     "run with CAP_SYS_NICE"},
    {Feature::kCheckpointFiles, "checkpoint_files",
     "/proc/PID/timers and its like: CONFIG_CHECKPOINT_RESTORE", Need::kRequired,
     "no program can be saved", "use a kernel built with CONFIG_CHECKPOINT_RESTORE"},
    {Feature::kKcmp, "kcmp", "kcmp(2), Linux 3.5", Need::kRequired,
     "which descriptors are shared cannot be told: no program can be saved",
     "use a kernel built with CONFIG_KCMP"},
    {Feature::kPidfdGetfd, "pidfd_getfd", "pidfd_getfd(2), Linux 5.6", Need::kRequired,
     "open files cannot be looked into: no program can be saved", "use Linux 5.6 or later"},
    {Feature::kRseqConfiguration, "rseq_configuration", "PTRACE_GET_RSEQ_CONFIGURATION, Linux 5.13",
     Need::kRequired, "restartable sequences would be lost: no program can be saved",
     "use Linux 5.13 or later"},
    {Feature::kUnixDiag, "unix_diag", "sock_diag(7) for Unix sockets: CONFIG_UNIX_DIAG",
     Need::kRequired, "a program with Unix sockets cannot be saved",
     "use a kernel with CONFIG_UNIX_DIAG, or load the module unix_diag"},
    {Feature::kCallMarks, "call_marks",
     "system call numbers of 32 bits in registers of 64, Linux 5.14", Need::kOptional,
     "a call with a time limit that is stopped again and again on a busy machine may wait too long",
     "use Linux 5.14 or later"},
    {Feature::kTaskImages, "task_images",
     "BPF iterators over tasks: CAP_BPF, CAP_PERFMON, CONFIG_DEBUG_INFO_BTF, Linux 6.1",
     Need::kOptional,
     "what a program did not change is read again in each stop: 0.1 ms a process, 0.06 ms a thread",
     "run as root or with these capabilities, on a kernel with /sys/kernel/btf/vmlinux"},
    {Feature::kPagemapScan, "pagemap_scan", "the PAGEMAP_SCAN ioctl, Linux 6.7", Need::kOptional,
     "changed pages are found by soft-dirty bits, or every page is copied each time",
     "use Linux 6.7 or later"},
    {Feature::kWpAsync, "wp_async", "UFFD_FEATURE_WP_ASYNC, Linux 6.7", Need::kOptional,
     "changed pages are found by soft-dirty bits, or every page is copied each time",
     "use Linux 6.7 or later, built with CONFIG_PTE_MARKER_UFFD_WP"},
    {Feature::kSoftDirty, "soft_dirty", "soft-dirty bits: CONFIG_MEM_SOFT_DIRTY", Need::kOptional,
     "none where pagemap_scan and wp_async are there; else every page is copied each time",
     "use a kernel built with CONFIG_MEM_SOFT_DIRTY"},
    {Feature::kWriteGuide, "write_guide",
     "BPF programs at tracepoints: CAP_BPF, CAP_PERFMON, CONFIG_DEBUG_INFO_BTF, Linux 6.1",
     Need::kOptional,
     "each epoch looks at all page tables of a large program: stops grow by 0.35 ms a GiB",
     "run as root or with these capabilities, on a kernel with /sys/kernel/btf/vmlinux"},
    {Feature::kMemfd, "memfd", "memfd_create(2), Linux 3.17", Need::kRequired,
     "no program can be saved", "use a kernel built with CONFIG_MEMFD_CREATE"},
    {Feature::kSetTid, "set_tid",
     "clone3(2) with set_tid, Linux 5.5; CAP_CHECKPOINT_RESTORE (5.9) or CAP_SYS_ADMIN",
     Need::kRequired, "a program cannot get its pids back: no restore",
     "use Linux 5.5 or later, as root or with CAP_CHECKPOINT_RESTORE"},
    {Feature::kMmMap, "mm_map", "prctl(2) PR_SET_MM_MAP: CONFIG_CHECKPOINT_RESTORE",
     Need::kRequired, "a program cannot get its command line, brk and exe link back: no restore",
     "use a kernel built with CONFIG_CHECKPOINT_RESTORE"},
    {Feature::kTimerIds, "timer_ids", "PR_TIMER_CREATE_RESTORE_IDS, Linux 6.16", Need::kOptional,
     "a program with a POSIX timer whose id is above 150 cannot be restored",
     "use Linux 6.16 or later"},
    {Feature::kTimeNamespace, "time_namespace", "time namespaces, Linux 5.6: CONFIG_TIME_NS",
     Need::kOptional, "CLOCK_MONOTONIC jumps over the time for which a program was away",
     "use a kernel built with CONFIG_TIME_NS"},
    {Feature::kLazyRestore, "lazy_restore",
     "userfaultfd(2) for faults of the kernel and with events: CAP_SYS_PTRACE, "
     "CONFIG_USERFAULTFD",
     Need::kOptional, "a restored program starts only when all of its memory is there",
     "run as root or with CAP_SYS_PTRACE, on a kernel built with CONFIG_USERFAULTFD"},
    {Feature::kUserNamespace, "user_namespace", "user namespaces: CONFIG_USER_NS", Need::kOptional,
     "nothing today; running without root will need them", "set user.max_user_namespaces above 0"},
    {Feature::kIoUring, "io_uring", "io_uring(7), Linux 5.1", Need::kOptional,
     "nothing today: the store writes by plain system calls",
     "set kernel.io_uring_disabled to 0, or allow it in the container's seccomp profile"},
};
static_assert(std::size(kTable) == kFeatureCount);

constexpr size_t index_of(Feature feature) { return static_cast<size_t>(feature); }

Result<Feature> feature_named(std::string_view name) {
  for (const FeatureInfo& info : kTable) {
    if (name == info.name) return info.feature;
  }
  std::string names;
  for (const FeatureInfo& info : kTable) names.append(names.empty() ? "" : ", ").append(info.name);
  return Error(Code::kInvalid, "PERDURE_DISABLE: there is no feature " + std::string(name))
      .with_remedy("the features are " + names);
}

int read_setting(const char* path) {
  const auto text = proc::read_text(path);
  if (!text.ok()) return -1;
  const auto number = proc::parse_signed(proc::trimmed(*text));
  return number ? static_cast<int>(*number) : -1;
}

}  // namespace

std::span<const FeatureInfo> feature_table() { return kTable; }

const FeatureInfo& feature_info(Feature feature) {
  const FeatureInfo& info = kTable[index_of(feature)];
  PD_ASSERT(info.feature == feature);
  return info;
}

Result<Features> Features::create(std::string_view disabled) {
  Features features;
  for (std::string_view name : proc::split(disabled, ',')) {
    features.disabled_.set(index_of(PD_TRY(feature_named(proc::trimmed(name)))));
  }
  return features;
}

Result<Features> Features::from_environment() {
  const char* disabled = std::getenv("PERDURE_DISABLE");
  return create(disabled == nullptr ? "" : disabled);
}

bool Features::has(Feature feature) const {
  if (disabled(feature)) return false;
  std::optional<bool>& known = known_[index_of(feature)];
  if (!known) known = probe_feature(feature);
  return *known;
}

Status Features::require(Feature feature) const {
  if (has(feature)) return {};
  const FeatureInfo& info = feature_info(feature);
  const bool privilege = index_of(feature) <= index_of(Feature::kRaisePriority);
  const Code code = privilege ? Code::kPermission : Code::kUnavailable;
  std::string message = std::string(info.name) + " is missing (" + info.what + ")";
  if (disabled(feature)) message = std::string(info.name) + " is disabled by PERDURE_DISABLE";
  return Error(code, message + ": " + info.consequence).with_remedy(info.remedy);
}

std::vector<std::string> Privileges::missing_capabilities() const {
  std::vector<std::string> names;
  constexpr int kKnown = static_cast<int>(std::size(abi::kCapabilityNames));
  for (int capability = 0; capability < kKnown; ++capability) {
    if (!has(capability)) names.push_back(abi::capability_name(capability));
  }
  return names;
}

Result<Privileges> read_privileges() {
  const proc::TaskStatus status = PD_TRY(proc::read_status(::getpid()));
  Privileges privileges;
  privileges.effective_uid = status.uids[1];
  privileges.capabilities = status.cap_effective;
  privileges.yama_ptrace_scope = read_setting("/proc/sys/kernel/yama/ptrace_scope");
  privileges.unprivileged_userfaultfd = read_setting("/proc/sys/vm/unprivileged_userfaultfd");
  return privileges;
}

Result<bool> supports_direct_io(const std::string& folder) {
  Fd fd = Fd::adopt(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | O_DIRECT, 0600));
  if (fd.valid()) return true;
  if (errno == EINVAL) return false;
  if (errno != EOPNOTSUPP && errno != EISDIR) return Error::system(errno, "write into", folder);
  // A file system without O_TMPFILE: try a file that is unlinked at once.
  std::string path = folder + "/.perdure-XXXXXX";
  Fd named = Fd::adopt(::mkostemp(path.data(), O_CLOEXEC));
  if (!named.valid()) return Error::system(errno, "write into", folder);
  ::unlink(path.c_str());
  const int flags = ::fcntl(named.get(), F_GETFL);
  return flags >= 0 && ::fcntl(named.get(), F_SETFL, flags | O_DIRECT) == 0;
}

}  // namespace perdure::kernel
