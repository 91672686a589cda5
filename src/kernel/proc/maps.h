// /proc/PID/maps, and the parts of /proc/PID/smaps that maps lacks. Reading maps costs about 2 us a
// vma; smaps walks every page table and costs 12 us a MiB of resident memory besides, so it is read
// apart. Addresses and file offsets are bytes; a vma's end is exclusive. proc_pid_maps(5),
// proc_pid_smaps(5).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perdure::kernel::proc {

// VmFlags of smaps that we know, as bits. Letters that we do not know are passed over.
enum class VmFlag : uint64_t {
  kShared = 1ull << 0,        // sh
  kMayWrite = 1ull << 1,      // mw
  kMayShare = 1ull << 2,      // ms
  kGrowsDown = 1ull << 3,     // gd
  kPfnMap = 1ull << 4,        // pf
  kLocked = 1ull << 5,        // lo
  kLockOnFault = 1ull << 6,   // lf
  kIo = 1ull << 7,            // io
  kSequential = 1ull << 8,    // sr
  kRandom = 1ull << 9,        // rr
  kDontFork = 1ull << 10,     // dc
  kDontExpand = 1ull << 11,   // de
  kAccounted = 1ull << 12,    // ac
  kNoReserve = 1ull << 13,    // nr
  kHugeTlb = 1ull << 14,      // ht
  kWipeOnFork = 1ull << 15,   // wf
  kDontDump = 1ull << 16,     // dd
  kMixedMap = 1ull << 17,     // mm
  kHugePage = 1ull << 18,     // hg
  kNoHugePage = 1ull << 19,   // nh
  kMergeable = 1ull << 20,    // mg
  kUffdMissing = 1ull << 21,  // um
  kUffdWp = 1ull << 22,       // uw
  kUffdMinor = 1ull << 23,    // ui
  kShadowStack = 1ull << 24,  // ss
  kSealed = 1ull << 25,       // sl
  kDroppable = 1ull << 26,    // dp
  kSyncFault = 1ull << 27,    // sf
};

struct MapsEntry {
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t offset = 0;
  uint64_t device =
      0;  // makedev(major, minor) as maps has it: not always stat's st_dev (btrfs, overlayfs)
  uint64_t inode = 0;
  uint32_t protection = 0;  // PROT_*
  bool shared = false;
  bool deleted = false;  // the path ended in " (deleted)", which is cut off
  std::string
      path;  // unescaped; "" for anonymous memory; "[heap]", "[anon:NAME]" and so on as they are

  // Below: only after add_vm_flags().
  bool has_vm_flags = false;
  uint64_t vm_flags = 0;
  uint32_t protection_key = 0;
  uint64_t size() const { return end - start; }
  bool has(VmFlag flag) const { return (vm_flags & static_cast<uint64_t>(flag)) != 0; }
};

// Pure parsers. text is the whole file. kInvalid names the line that does not parse.
Result<std::vector<MapsEntry>> parse_maps(std::string_view text);
// Sets vm_flags and protection_key of every entry from the text of smaps; kInvalid if an entry is
// missing there.
Status parse_vm_flags(std::string_view smaps, std::vector<MapsEntry>& entries);

// Readers. pid is in the caller's pid namespace. The entries of a stopped process are exact; of a
// running one, a mixture. kGone if the process does not exist or has no memory any more.
Result<std::vector<MapsEntry>> read_maps(pid_t pid);
Status add_vm_flags(pid_t pid, std::vector<MapsEntry>& entries);
Result<std::string> read_auxv(pid_t pid);

}  // namespace perdure::kernel::proc
