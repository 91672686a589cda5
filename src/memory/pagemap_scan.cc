#include "memory/pagemap_scan.h"

#include <fcntl.h>

#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/limits.h"
#include "kernel/abi/userfaultfd.h"
#include "kernel/memory.h"
#include "memory/areas.h"
#include "memory/direct_io.h"

namespace perdure::memory {

Result<std::unique_ptr<Tracker>> PagemapScanTracker::create(pid_t pid, Fd uffd,
                                                            const TrackerFeatures& features) {
  PD_ASSERT(uffd.valid());
  PD_TRY(kernel::enable_uffd(uffd, kernel::abi::kUffdFeatureWpAsync));
  return std::unique_ptr<Tracker>(
      std::make_unique<PagemapScanTracker>(Enabled(), pid, std::move(uffd), features));
}

Result<Scan> PagemapScanTracker::scan(std::span<const Area> areas, Mode mode) {
  if (mode == Mode::kCut) return scan_areas(areas, mode);
  if (PD_TRY(may_read_directly(pid_))) return Scan{};
  Scan scan = PD_TRY(scan_areas(areas, mode));
  // If a direct read began meanwhile, nothing that was protected now may count as unwritten.
  if (PD_TRY(may_read_directly(pid_))) ledger_.note_written(scan.data);
  return scan;
}

Result<Scan> PagemapScanTracker::scan_areas(std::span<const Area> areas, Mode mode) {
  if (areas.empty()) return mode == Mode::kCut ? ledger_.settle({}) : Scan{};
  // Opened each time, because the descriptor stays with the address space that the process has now.
  Fd pagemap = PD_TRY(kernel::open_proc_file(pid_, "pagemap", O_RDONLY));
  uint64_t start = areas.front().start, end = areas.back().end;
  const PageSet anonymous = pages_of(areas, AreaKind::kAnonymous);
  // Areas that are not tracked yet and pages of files wait for the cut, when the process stands
  // still: an area is registered whole, and a page may change between its comparison and its copy.
  if (mode == Mode::kPrecopy) {
    ledger_.note_written(PD_TRY(walker_.scan_written(pagemap, start, end)));
    return ledger_.settle_written(anonymous);
  }
  const PageWalker::Look look = PD_TRY(walker_.look(pagemap, start, end));
  ledger_.note_written(PD_TRY(walker_.protect(pagemap, look.written)));
  const PageSet others =
      PD_TRY(walker_.scan_populated(pagemap, start, end, PageWalker::Among::kUnprotected));
  const PageSet fresh = others.intersected(anonymous);
  ledger_.note_written(fresh);
  PD_TRY(protect_fresh(pagemap, areas, fresh));
  const PageSet in_files = others.intersected(pages_of(areas, AreaKind::kFilePrivate));
  ledger_.note_written(PD_TRY(file_pages_.changed(pid_, in_files)));
  Scan scan = ledger_.settle(anonymous.without(look.empty).united(in_files));
  scan.guard = look.guard.intersected(pages_of(areas));
  scan.newly_tracked_pages = fresh.pages();
  return scan;
}

Status PagemapScanTracker::arm(std::span<const Area> areas) {
  if (areas.empty()) return {};
  Fd pagemap = PD_TRY(kernel::open_proc_file(pid_, "pagemap", O_RDONLY));
  PageSet fresh = PD_TRY(walker_.scan_populated(pagemap, areas.front().start, areas.back().end,
                                                PageWalker::Among::kUnprotected))
                      .intersected(pages_of(areas, AreaKind::kAnonymous));
  ledger_.note_written(fresh);
  return protect_fresh(pagemap, areas, fresh);
}

// Registers the anonymous areas that hold fresh pages, and protects those. An area that cannot be
// registered stays as it is and is yielded whole by every scan.
Status PagemapScanTracker::protect_fresh(const Fd& pagemap, std::span<const Area> areas,
                                         const PageSet& fresh) {
  auto run = fresh.runs().begin();
  for (const Area& area : areas) {
    while (run != fresh.runs().end() && run->end() << kPageShift <= area.start) ++run;
    if (run == fresh.runs().end()) break;
    if (run->first << kPageShift >= area.end || area.kind != AreaKind::kAnonymous) continue;
    Status registered = kernel::register_uffd_wp(uffd_, area.start, area.end - area.start);
    if (registered.ok()) {
      ledger_.note_written(PD_TRY(walker_.scan_written(pagemap, area.start, area.end)));
    } else if (registered.error().code() == Code::kGone) {
      return std::move(registered).error();
    }
  }
  return {};
}

}  // namespace perdure::memory
