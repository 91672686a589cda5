#include "memory/full.h"

#include <fcntl.h>

#include <utility>

#include "kernel/memory.h"
#include "memory/areas.h"

namespace perdure::memory {

Result<Scan> FullTracker::scan(std::span<const Area> areas, Mode mode) {
  if (mode != Mode::kCut) return Scan{};
  if (areas.empty()) return ledger_.settle({});
  Fd pagemap = PD_TRY(kernel::open_proc_file(pid_, "pagemap", O_RDONLY));
  uint64_t start = areas.front().start, end = areas.back().end;
  PageWalker::Walk walk;
  if (features_.pagemap_scan) {
    walk.populated = PD_TRY(walker_.scan_populated(pagemap, start, end, PageWalker::Among::kAll));
    walk.guard = PD_TRY(walker_.look(pagemap, start, end)).guard;
  } else {
    walk = PD_TRY(walker_.read(pagemap, areas));
  }
  PageSet tracked = pages_of(areas);
  PageSet populated = walk.populated.intersected(tracked);
  ledger_.note_written(populated);
  Scan scan = ledger_.settle(populated);
  scan.guard = walk.guard.intersected(tracked);
  return scan;
}

}  // namespace perdure::memory
