#include "memory/frames.h"

#include <fcntl.h>

#include <algorithm>
#include <vector>

#include "base/fd.h"
#include "kernel/memory.h"

namespace perdure::memory {
namespace {

constexpr uint64_t kEntriesPerRead = 8192;

// The low bits of an entry are the frame of a present page, and type and offset of the slot of a
// swapped one.
bool same_place(uint64_t a, uint64_t b) {
  using namespace kernel::abi;
  constexpr uint64_t kWhere = kEntryPresent | kEntrySwapped | kEntryFrameMask;
  if ((a & kWhere) != (b & kWhere) || ((a | b) & kEntryGuard) != 0) return false;
  return (a & (kEntryPresent | kEntrySwapped)) != 0 && (a & kEntryFrameMask) != 0;
}

bool frame_hidden(uint64_t entry) {
  return (entry & kernel::abi::kEntryPresent) != 0 && (entry & kernel::abi::kEntryFrameMask) == 0;
}

}  // namespace

Result<PageSet> same_frames(pid_t parent, pid_t child, const PageSet& within) {
  Fd of_parent = PD_TRY(kernel::open_proc_file(parent, "pagemap", O_RDONLY));
  Fd of_child = PD_TRY(kernel::open_proc_file(child, "pagemap", O_RDONLY));
  std::vector<uint64_t> a(kEntriesPerRead), b(kEntriesPerRead);
  PageSet same;
  for (const PageRun& run : within.runs()) {
    for (uint64_t page = run.first; page < run.end();) {
      size_t wanted = static_cast<size_t>(std::min(run.end() - page, kEntriesPerRead));
      size_t in_parent = PD_TRY(kernel::read_pagemap(of_parent, page, {a.data(), wanted}));
      size_t in_child = PD_TRY(kernel::read_pagemap(of_child, page, {b.data(), wanted}));
      size_t count = std::min(in_parent, in_child);
      if (count == 0) break;  // past the end of an address space
      for (size_t at = 0; at < count; ++at) {
        if (same_place(a[at], b[at])) same.add(PageRun{page + at, 1});
        if (frame_hidden(b[at])) {
          return Error(Code::kPermission,
                       "the kernel hides page frames: shared pages cannot be told apart")
              .with_remedy("give Perdure CAP_SYS_ADMIN");
        }
      }
      page += count;
    }
  }
  return same;
}

}  // namespace perdure::memory
