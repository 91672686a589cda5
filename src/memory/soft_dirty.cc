#include "memory/soft_dirty.h"

#include <fcntl.h>

#include <utility>

#include "kernel/memory.h"

namespace perdure::memory {

Result<Scan> SoftDirtyTracker::scan(std::span<const Area> areas, Mode mode) {
  if (mode != Mode::kCut) return Scan{};
  Fd pagemap = PD_TRY(kernel::open_proc_file(pid_, "pagemap", O_RDONLY));
  PageWalker::Walk walk = PD_TRY(walker_.read(pagemap, areas));
  const uint64_t faulted = walk.soft_dirty.intersected(ledger_.known()).pages();
  ledger_.note_written(walk.soft_dirty);
  PD_TRY(kernel::clear_soft_dirty(pid_));
  Scan scan = ledger_.settle(walk.populated);
  scan.guard = std::move(walk.guard);
  scan.faulted_pages = faulted;
  return scan;
}

}  // namespace perdure::memory
