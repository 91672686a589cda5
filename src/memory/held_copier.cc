#include "memory/held_copier.h"

#include <utility>
#include <vector>

#include "base/limits.h"
#include "memory/direct_io.h"
#include "memory/scan_scope.h"

namespace perdure::memory {

// A copy of ours counts if the page is protected still after it was made, for then nobody has
// written to it, and if we are who gives the page up; else another copy was made before somebody
// wrote to it.
Result<PageSet> HeldCopier::not_ours(std::span<const PageRun> pieces) {
  PageSet places, changed, others;
  for (const PageRun& piece : pieces) places.add(piece);
  for (const PageRun& run : places.coalesced(kGapPages).runs()) {
    const PageSet part =
        PD_TRY(walker_.scan_changed(pagemap_, run.first << kPageShift, run.end() << kPageShift));
    for (const PageRun& each : part.runs()) changed.add(each);
  }
  for (const PageRun& piece : pieces) {
    for (uint64_t page = piece.first; page < piece.end(); ++page) {
      if (!space_.give_up(page)) others.add(PageRun{page, 1});
    }
  }
  return others.united(changed.intersected(places));
}

// Copies that were made when a page was about to be written, although it may have been changed
// before without a page fault.
Result<PageSet> HeldCopier::doubtful(const PageSet& copied) {
  if (copied.empty()) return PageSet();
  const bool direct = PD_TRY(may_read_directly(pid_, images_));
  space_.collect();
  if (space_.remade_anywhere()) return copied;
  return copied.intersected(direct ? space_.called() : space_.remade());
}

Result<PageSet> HeldCopier::copy(const PageSet& held, Copier& copier, const PageSink& sink,
                                 Access access, const PageRoom& room) {
  const auto check = [this](std::span<const PageRun> pieces) { return not_ours(pieces); };
  const PageSet missing = PD_TRY(copier.copy(pid_, held, sink, access, room, check));
  if (missing.empty()) return missing;
  PageSet copied;
  for (const HeldPages::Copy& copy : space_.copies()) {
    if (!missing.contains(copy.page)) continue;
    PD_TRY(sink(copy.page, copy.bytes));
    copied.add(PageRun{copy.page, 1});
  }
  return missing.without(copied.without(PD_TRY(doubtful(copied))));
}

}  // namespace perdure::memory
