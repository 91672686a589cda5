#include "memory/scan_scope.h"

#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "memory/areas.h"

namespace perdure::memory {
namespace {

// A call for a place of its own costs about as much as walking over so many pages.
constexpr uint64_t kGapPages = 512;

PageSet span_of(std::span<const Area> areas) {
  PageSet pages;
  pages.add_bytes(areas.front().start, areas.back().end);
  return pages;
}

bool same(std::span<const Area> a, std::span<const Area> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Area& x, const Area& y) {
    return x.start == y.start && x.end == y.end && x.kind == y.kind;
  });
}

// Closes small gaps.
PageSet coalesced(const PageSet& pages) {
  PageSet out;
  uint64_t end = 0;
  for (const PageRun& run : pages.runs()) {
    const bool near = end != 0 && run.first - end <= kGapPages;
    const uint64_t first = near ? end : run.first;
    out.add(PageRun{first, run.end() - first});
    end = run.end();
  }
  return out;
}

}  // namespace

Places ScanScope::places_for_pass(std::span<const Area> areas, const PageLedger& ledger) {
  Places places;
  places.look = span_of(areas);
  if (space_ == nullptr) return places;
  space_->collect();
  if (space_->everything()) return places;
  places.everything = false;
  places.look = coalesced(space_->touched(areas, ledger.known())).intersected(places.look);
  return places;
}

Places ScanScope::places_for_cut(std::span<const Area> areas, const PageLedger& ledger) {
  Places places;
  const PageSet span = span_of(areas);
  if (space_ != nullptr) space_->collect();
  const bool everything = space_ == nullptr || space_->everything();
  const PageSet registered = everything ? PageSet() : registered_.without(space_->mappings());
  for (const Area& area : areas) {
    PageSet pages;
    pages.add_bytes(area.start, area.end);
    if (area.kind == AreaKind::kAnonymous) {
      if (pages.without(registered).empty()) continue;
      places.doubtful.push_back(area);
    }
    places.unregistered.add(pages.runs().front());
  }
  if (everything) {
    places.look = places.unregistered = span;
    return places;
  }
  places.everything = false;
  places.unregistered = coalesced(places.unregistered);
  places.look =
      space_->touched(areas, ledger.known()).united(places.unregistered).united(ledger.written());
  if (!same(areas, areas_)) {  // what was in areas that are gone is to be absent
    places.look = places.look.united(ledger.known().without(pages_of(areas)));
  }
  places.look = coalesced(places.look);
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
