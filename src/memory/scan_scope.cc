#include "memory/scan_scope.h"

#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "memory/areas.h"

namespace perdure::memory {
namespace {

// The same where each page is asked whether it is the file's.
constexpr uint64_t kFileGapPages = 32;

PageSet span_of(std::span<const Area> areas) {
  PageSet pages;
  pages.add_bytes(areas.front().start, areas.back().end);
  return pages;
}

bool same(std::span<const Area> a, std::span<const Area> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// Whether the area was among these, which are sorted.
bool was_there(std::span<const Area> areas, const Area& area) {
  const auto found = std::partition_point(
      areas.begin(), areas.end(), [&area](const Area& each) { return each.start < area.start; });
  return found != areas.end() && *found == area;
}

}  // namespace

Places ScanScope::places_for_pass(std::span<const Area> areas, const PageLedger& ledger) {
  Places places;
  places.look = span_of(areas);
  if (space_ == nullptr) return places;
  space_->collect();
  if (space_->everything()) return places;
  places.everything = false;
  places.look =
      space_->touched(areas, ledger.known()).coalesced(kGapPages).intersected(places.look);
  return places;
}

Places ScanScope::places_for_cut(std::span<const Area> areas, const PageLedger& ledger,
                                 const PageSet& ahead) {
  Places places;
  const PageSet span = span_of(areas);
  if (space_ != nullptr) space_->collect();
  const bool everything = space_ == nullptr || space_->everything();
  places.unregistered.reserve(areas.size());
  places.steady.reserve(areas.size());
  const PageSet registered = everything ? PageSet() : registered_.without(space_->mappings());
  const PageSet faulted = everything ? PageSet() : space_->faulted(areas, ledger.known());
  const PageSet touched = everything ? PageSet() : faulted.united(space_->called());
  for (const Area& area : areas) {
    const PageRun pages = {area.start >> kPageShift, (area.end - area.start) >> kPageShift};
    if (area.kind == AreaKind::kAnonymous) {
      if (registered.contains(pages)) continue;
      places.doubtful.push_back(area);
    } else if (!everything && !area.writable && was_there(areas_, area) && !touched.meets(pages) &&
               !ledger.written().meets(pages)) {
      // The process cannot write there as it is mapped. Who changes that, or writes all the same,
      // makes a call that the guide tells. To drop what was written before takes none
      // (MADV_DONTNEED, which wants only the lock of such a mapping).
      if (!ledger.known().meets(pages)) continue;
      places.steady.add(pages);
    }
    places.unregistered.add(pages);
  }
  if (everything) {
    places.look = places.unregistered = span;
    return places;
  }
  places.everything = false;
  places.unregistered = places.unregistered.coalesced(kFileGapPages);
  PageSet others = places.unregistered.united(space_->called());
  others = others.united(ahead.empty() ? ledger.written() : ledger.written().without(ahead));
  if (!same(areas, areas_)) {  // what was in areas that are gone is to be absent
    others = others.united(ledger.known().without(pages_of(areas)));
  }
  others = others.coalesced(kGapPages);
  places.only_faults = faulted.coalesced(kGapPages).without(others);
  places.look = others.united(places.only_faults);
  places.ahead = ahead.without(places.look);
  return places;
}

void ScanScope::settle(std::span<const Area> areas, std::span<const Area> registered) {
  if (space_ == nullptr) return;
  registered_ = space_->everything() ? PageSet() : registered_.without(space_->mappings());
  registered_ = registered_.united(pages_of(registered)).intersected(pages_of(areas));
  if (!same(areas, areas_)) areas_.assign(areas.begin(), areas.end());
  space_->settle();
}

}  // namespace perdure::memory
