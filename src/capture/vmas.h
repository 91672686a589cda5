// Vmas: the mappings of a stopped process as an AddressSpace record, with the files and memory
// objects behind them. What cannot be saved is refused by name (kUnsupported: pid, range, path,
// kind) before anything is stored.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "capture/mapped_files.h"
#include "capture/memory_objects.h"
#include "kernel/proc/maps.h"
#include "kernel/proc/stat.h"
#include "memory/tracker.h"
#include "object/memory.pb.h"

namespace perdure::capture {

// The mapping of the engine's batch interpreter in a target is a private mapping of a memfd of this
// name; it is no part of the program.
inline constexpr const char* kBatchMappingPath = "/memfd:perdure-batch";

// Mappings that are no part of the program: the engine's, and the one that the kernel makes for
// uprobes.
bool is_foreign(const kernel::proc::MapsEntry& entry);

// What of the engine's is on in a process, so that flags of userfaultfd are not the program's:
// write protection, or a pager too, which still brings pages.
enum class EngineWatch : uint8_t { kNone, kWrites, kMissingPages };

struct VmaOptions {
  EngineWatch watch = EngineWatch::kNone;
  // The exact program break as brk(0) in the target gives it; 0: the end of [heap] is taken.
  uint64_t brk = 0;
  // Mappings of the same process as they were read with their VmFlags shortly before. A mapping
  // that is the same in maps gets its flags from here, and smaps is read only if some mapping is
  // new. Empty: smaps is read. smaps takes 12 us per resident MiB: read it before the stop, and
  // accept that an madvise() between the two reads which splits no mapping shows later.
  std::span<const kernel::proc::MapsEntry> known_flags;
  // Of this stop; null: it is read.
  const kernel::proc::Stat* stat = nullptr;
};

struct VmaCapture {
  object::AddressSpace space;
  std::vector<memory::Area> private_areas;       // for memory::Tracker::scan, sorted
  std::vector<kernel::proc::MapsEntry> entries;  // for known_flags of the next capture
};

// Mappings of a process with their VmFlags, as far as they are known before a stop.
struct KnownMappings {
  std::vector<kernel::proc::MapsEntry> entries;
  uint64_t read_again_ns = 0;  // CLOCK_MONOTONIC: when smaps is to be read though nothing is new
};

// Before a stop: makes `known` the mappings as they are now. smaps is read if some mapping is not
// among the known; and now and then, as madvise(2) changes flags without a trace in maps: after a
// second, or a hundred times as long as reading takes. Nothing changes if the process is gone.
void know_mappings(pid_t pid, const Clock& clock, KnownMappings* known);

// pid: stopped, in the engine's pid namespace; its mm is read as it is.
Result<VmaCapture> capture_vmas(pid_t pid, const VmaOptions& options, MappedFiles& files,
                                MemoryObjects& objects);

// Writes guard pages, as a scan found them, into the vmas that hold them.
void set_guard_pages(const memory::PageSet& guard, object::AddressSpace& space);

}  // namespace perdure::capture
