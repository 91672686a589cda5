#include "capture/vmas.h"

#include <sys/mman.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "base/ids.h"
#include "base/limits.h"
#include "capture/aio_ring.h"
#include "kernel/proc/read.h"
#include "kernel/proc/stat.h"

namespace perdure::capture {
namespace {

using kernel::proc::MapsEntry;
using kernel::proc::VmFlag;
using object::Vma;

constexpr std::string_view kAnonPrefix = "[anon:";
constexpr std::string_view kAnonSharedPrefix = "[anon_shmem:";
constexpr std::string_view kAioPath = "/[aio]";
constexpr uint64_t kFlagsLifeMinNs = 1'000'000'000;
constexpr uint64_t kFlagsLifeShare = 100;

// "[anon:NAME]" without its frame.
std::string name_in(std::string_view path, std::string_view prefix) {
  path.remove_prefix(prefix.size());
  if (path.ends_with(']')) path.remove_suffix(1);
  return std::string(path);
}

bool is_anonymous(const MapsEntry& entry) {
  return entry.path.empty() || entry.path == "[heap]" || entry.path == "[stack]" ||
         entry.path.starts_with(kAnonPrefix);
}

bool same_mapping(const MapsEntry& a, const MapsEntry& b) {
  return a.start == b.start && a.end == b.end && a.offset == b.offset && a.device == b.device &&
         a.inode == b.inode && a.protection == b.protection && a.shared == b.shared &&
         a.path == b.path;
}

// Takes the flags of the mappings that did not change; false if some mapping is not among the
// known.
bool take_known_flags(std::span<const MapsEntry> known, std::vector<MapsEntry>& entries) {
  auto next = known.begin();
  for (MapsEntry& entry : entries) {
    if (is_foreign(entry)) continue;
    while (next != known.end() && next->start < entry.start) ++next;
    if (next == known.end() || !next->has_vm_flags || !same_mapping(*next, entry)) return false;
    entry.has_vm_flags = true;
    entry.vm_flags = next->vm_flags;
    entry.protection_key = next->protection_key;
  }
  return true;
}

// Why a mapping cannot be saved, by its flags; null if it can.
const char* refusal(const MapsEntry& entry, EngineWatch watch) {
  if (entry.has(VmFlag::kHugeTlb)) return "memory in huge pages of hugetlbfs";
  if (entry.has(VmFlag::kIo) || entry.has(VmFlag::kPfnMap)) return "memory of a device";
  if ((entry.has(VmFlag::kUffdMissing) && watch != EngineWatch::kMissingPages) ||
      entry.has(VmFlag::kUffdMinor) ||
      (entry.has(VmFlag::kUffdWp) && watch == EngineWatch::kNone)) {
    return "memory that the program watches with userfaultfd";
  }
  if (entry.has(VmFlag::kShadowStack)) return "a shadow stack";
  if (entry.has(VmFlag::kSealed)) return "memory sealed with mseal";
  if (entry.has(VmFlag::kSyncFault)) return "persistent memory (MAP_SYNC)";
  if (entry.protection_key != 0) return "memory with a protection key";
  return nullptr;
}

Error refused(pid_t pid, const MapsEntry& entry, std::string_view why) {
  Result<std::string> comm = kernel::proc::read_text(kernel::proc::path_of(pid, "comm"));
  char where[96];
  snprintf(where, sizeof(where), " mapping %" PRIx64 "-%" PRIx64 " ", entry.start, entry.end);
  std::string text = "pid " + std::to_string(pid);
  if (comm.ok()) text += " (" + std::string(kernel::proc::trimmed(*comm)) + ")";
  text += where + (entry.path.empty() ? std::string("(anonymous)") : entry.path) + ": " +
          std::string(why);
  return Error(Code::kUnsupported, std::move(text));
}

void set_flags(const MapsEntry& entry, Vma& vma) {
  vma.set_start(entry.start);
  vma.set_end(entry.end);
  vma.set_protection(entry.protection);
  vma.set_grows_down(entry.has(VmFlag::kGrowsDown));
  vma.set_locked(entry.has(VmFlag::kLocked));
  vma.set_lock_on_fault(entry.has(VmFlag::kLockOnFault));
  vma.set_no_reserve(entry.has(VmFlag::kNoReserve));
  vma.set_dont_fork(entry.has(VmFlag::kDontFork));
  vma.set_wipe_on_fork(entry.has(VmFlag::kWipeOnFork));
  vma.set_dont_dump(entry.has(VmFlag::kDontDump));
  vma.set_mergeable(entry.has(VmFlag::kMergeable));
  vma.set_huge_page(entry.has(VmFlag::kHugePage));
  vma.set_no_huge_page(entry.has(VmFlag::kNoHugePage));
  vma.set_sequential(entry.has(VmFlag::kSequential));
  vma.set_random(entry.has(VmFlag::kRandom));
  vma.set_droppable(entry.has(VmFlag::kDroppable));
  vma.set_stack(entry.path == "[stack]");
  vma.set_heap(entry.path == "[heap]");
  vma.set_file_writable(entry.shared && entry.has(VmFlag::kMayWrite));
}

// Mappings that the kernel makes; true if it is one.
bool set_kernel_kind(const MapsEntry& entry, Vma& vma) {
  if (entry.path == "[vdso]") {
    vma.set_kind(Vma::VDSO);
  } else if (entry.path == "[vvar]" || entry.path == "[vvar_vclock]") {
    vma.set_kind(Vma::VVAR);
  } else if (entry.path == "[vsyscall]") {
    vma.set_kind(Vma::VSYSCALL);
  } else {
    return false;
  }
  return true;
}

Result<Backing> backing_of(pid_t pid, const MapsEntry& entry, MappedFiles& files,
                           MemoryObjects& objects) {
  bool named_shared = entry.path.starts_with(kAnonSharedPrefix);
  if (!named_shared && !entry.path.starts_with('/')) {
    std::string what =
        entry.path.ends_with("[io_uring]") ? "a ring of io_uring" : "memory of this kind";
    return refused(pid, entry, what + " cannot be saved");
  }
  MapsEntry named = entry;
  if (named_shared) named.path = "/dev/zero";
  Result<Backing> backing = files.add(pid, named, objects);
  if (backing.ok() || backing.error().code() != Code::kUnsupported) return backing;
  return refused(pid, entry, backing.error().message());
}

Status set_backing(pid_t pid, const MapsEntry& entry, MappedFiles& files, MemoryObjects& objects,
                   Vma& vma) {
  Backing backing = PD_TRY(backing_of(pid, entry, files, objects));
  vma.set_file(backing.id.value);
  vma.set_offset(entry.offset);
  if (entry.path.starts_with(kAnonSharedPrefix))
    vma.set_name(name_in(entry.path, kAnonSharedPrefix));
  switch (backing.kind) {
    case Backing::Kind::kDeviceZero:
      vma.set_kind(Vma::DEVICE_ZERO);
      break;
    case Backing::Kind::kMemory:
      vma.set_kind(Vma::MEMORY_SHARED);
      break;
    case Backing::Kind::kFile:
      vma.set_kind(entry.shared ? Vma::FILE_SHARED : Vma::FILE_PRIVATE);
      break;
  }
  return {};
}

void add_area(const Vma& vma, std::vector<memory::Area>& areas) {
  memory::Area area{vma.start(), vma.end(), memory::AreaKind::kAnonymous,
                    (vma.protection() & PROT_WRITE) != 0};
  switch (vma.kind()) {
    case Vma::ANONYMOUS:
    case Vma::DEVICE_ZERO:
      break;
    case Vma::FILE_PRIVATE:
      area.kind = memory::AreaKind::kFilePrivate;
      break;
    default:
      return;
  }
  areas.push_back(area);
}

Status capture_vma(pid_t pid, const MapsEntry& entry, const VmaOptions& options, MappedFiles& files,
                   MemoryObjects& objects, VmaCapture& capture) {
  if (is_foreign(entry)) return {};
  Vma& vma = *capture.space.add_vmas();
  set_flags(entry, vma);
  if (set_kernel_kind(entry, vma)) return {};
  if (const char* why = refusal(entry, options.watch)) {
    return refused(pid, entry, std::string(why) + " cannot be saved");
  }
  if (is_anonymous(entry)) {
    vma.set_kind(Vma::ANONYMOUS);
    if (entry.path.starts_with(kAnonPrefix)) vma.set_name(name_in(entry.path, kAnonPrefix));
  } else if (entry.path == kAioPath && entry.deleted) {
    vma.set_kind(Vma::AIO_RING);
    if (PD_TRY(aio_ring_used(pid, RemoteAddr(entry.start)))) {
      return refused(pid, entry, "an AIO ring that has been used cannot be saved");
    }
  } else {
    PD_TRY(set_backing(pid, entry, files, objects, vma));
  }
  add_area(vma, capture.private_areas);
  return {};
}

Status set_layout(pid_t pid, const VmaOptions& options, object::AddressSpace& space) {
  const kernel::proc::Stat stat =
      options.stat != nullptr ? *options.stat : PD_TRY(kernel::proc::read_stat(pid));
  space.set_start_code(stat.start_code);
  space.set_end_code(stat.end_code);
  space.set_start_data(stat.start_data);
  space.set_end_data(stat.end_data);
  space.set_start_brk(stat.start_brk);
  space.set_start_stack(stat.start_stack);
  space.set_arg_start(stat.arg_start);
  space.set_arg_end(stat.arg_end);
  space.set_env_start(stat.env_start);
  space.set_env_end(stat.env_end);
  space.set_auxv(PD_TRY(kernel::proc::read_auxv(pid)));
  uint64_t brk = stat.start_brk;
  for (const Vma& vma : space.vmas()) {
    if (vma.heap()) brk = vma.end();
  }
  space.set_brk(options.brk != 0 ? options.brk : brk);
  return {};
}

}  // namespace

bool is_foreign(const MapsEntry& entry) {
  return (!entry.shared && entry.deleted && entry.path == kBatchMappingPath) ||
         entry.path == "[uprobes]";
}

void know_mappings(pid_t pid, const Clock& clock, KnownMappings* known) {
  Result<std::vector<MapsEntry>> entries = kernel::proc::read_maps(pid);
  if (!entries.ok()) return;
  const uint64_t begin_ns = clock.monotonic_ns();
  const bool all_known = take_known_flags(known->entries, *entries);
  if (!all_known || begin_ns >= known->read_again_ns) {
    // Of a running process smaps may lack a mapping that maps had.
    if (!kernel::proc::add_vm_flags(pid, *entries).ok()) return;
    const uint64_t end_ns = clock.monotonic_ns();
    known->read_again_ns =
        end_ns + std::max(kFlagsLifeMinNs, kFlagsLifeShare * (end_ns - begin_ns));
  }
  known->entries = std::move(*entries);
}

Result<VmaCapture> capture_vmas(pid_t pid, const VmaOptions& options, MappedFiles& files,
                                MemoryObjects& objects) {
  VmaCapture capture;
  capture.entries = PD_TRY(kernel::proc::read_maps(pid));
  if (!take_known_flags(options.known_flags, capture.entries)) {
    PD_TRY(kernel::proc::add_vm_flags(pid, capture.entries));
  }
  capture.private_areas.reserve(capture.entries.size());
  for (const MapsEntry& entry : capture.entries) {
    PD_TRY(capture_vma(pid, entry, options, files, objects, capture));
  }
  PD_TRY(set_layout(pid, options, capture.space));
  return capture;
}

void set_guard_pages(const memory::PageSet& guard, object::AddressSpace& space) {
  for (Vma& vma : *space.mutable_vmas()) {
    vma.clear_guard_pages();
    if (guard.empty()) continue;
    memory::PageSet within;
    within.add_bytes(vma.start(), vma.end());
    for (memory::PageRun run : guard.intersected(within).runs()) {
      object::PageRange& range = *vma.add_guard_pages();
      range.set_start(run.first << kPageShift);
      range.set_end(run.end() << kPageShift);
    }
  }
}

}  // namespace perdure::capture
