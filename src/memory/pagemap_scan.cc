#include "memory/pagemap_scan.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/limits.h"
#include "kernel/abi/userfaultfd.h"
#include "kernel/memory.h"
#include "memory/areas.h"
#include "memory/direct_io.h"
#include "memory/fault_cost.h"
#include "memory/held_copier.h"

namespace perdure::memory {

namespace {

constexpr uint64_t kElusivePagesMax = 64;

// The parts of the places where all pages are known, if they are long or the whole of a place.
PageSet known_stretches(const PageSet& places, const PageSet& known) {
  PageSet stretches;
  auto place = places.runs().begin();
  for (const PageRun& run : places.intersected(known).runs()) {
    while (place->end() <= run.first) ++place;
    if (run == *place || run.count >= kGapPages) stretches.add(run);
  }
  return stretches;
}

// The cut looks at pages that are not hot any more. Where written pages are protected as they are
// found, it leaves out those that are.
void mind_hot_pages(const HotPages& hot, const PageSet& span, Places* places) {
  const PageSet left = hot.left().coalesced(kGapPages).intersected(span);
  if (!left.empty()) {
    places->look = places->look.united(left);
    places->only_faults = places->only_faults.without(left);
    places->ahead = places->ahead.without(left);
  }
  const PageSet omitted = places->only_faults.intersected(hot.pages());
  if (omitted.empty()) return;
  places->look = places->look.without(omitted);
  places->only_faults = places->only_faults.without(omitted);
}

}  // namespace

Result<std::unique_ptr<Tracker>> PagemapScanTracker::create(pid_t pid, Fd uffd,
                                                            const TrackerFeatures& features,
                                                            LazyGuide* guide,
                                                            kernel::LazyTaskImages* images) {
  PD_ASSERT(uffd.valid());
  PD_TRY(kernel::enable_uffd(uffd, kernel::abi::kUffdFeatureWpAsync));
  return std::unique_ptr<Tracker>(std::make_unique<PagemapScanTracker>(
      Enabled(), pid, std::move(uffd), features, guide, images));
}

Result<Scan> PagemapScanTracker::scan(std::span<const Area> areas, Mode mode) {
  if (mode == Mode::kCut) return cut(areas);
  if (areas.empty()) return Scan{};
  follow_guide();
  if (PD_TRY(may_read_directly(pid_, images_))) {
    Scan nothing;
    nothing.put_off = true;
    return nothing;
  }
  Scan scan = PD_TRY(pass(areas, mode));
  // If a direct read began meanwhile, nothing that was protected now may count as unwritten.
  if (PD_TRY(may_read_directly(pid_, images_))) {
    ledger_.note_written(scan.data);
    ahead_.clear();
  }
  return scan;
}

bool PagemapScanTracker::inherit(const PageSet& pages) {
  PD_ASSERT(ledger_.known().empty());
  ledger_.inherit(pages);
  served_ = true;
  return true;
}

// Only while the process runs: to make a guide takes milliseconds. A pager's doings are not in its
// book.
void PagemapScanTracker::follow_guide() {
  if (served_ || guide_ == nullptr || scope_.follows() || resident_pages_ < guided_pages_min_)
    return;
  WriteGuide* const guide = guide_->get();
  if (guide == nullptr) {
    guide_ = nullptr;
    return;
  }
  auto space = guide->watch(pid_);
  if (space.ok()) scope_.follow(std::move(*space));
}

// Areas that are not tracked yet and pages of files wait for the cut, when the process stands
// still: an area is registered whole, and a page may change between its comparison and its copy.
Result<Scan> PagemapScanTracker::pass(std::span<const Area> areas, Mode mode) {
  // Opened each time, because the descriptor stays with the address space that the process has now.
  const Fd pagemap = PD_TRY(kernel::open_proc_file(pid_, "pagemap", O_RDONLY));
  Places places = scope_.places_for_pass(areas, ledger_);
  places.look = places.look.without(hot_.pages());
  const PageSet filled = served_ ? PageSet() : known_stretches(places.look, ledger_.known());
  const PageSet written =
      PD_TRY(scan_written(pagemap, filled, Before::kFilled))
          .united(PD_TRY(scan_written(pagemap, places.look.without(filled), Before::kUnknown)));
  scope_.settle_written(written);
  const uint64_t faulted = written.intersected(ledger_.known()).pages();
  Scan scan;
  if (mode == Mode::kAhead) {
    ahead_ = ahead_.united(written);
    scan.data = ahead_;
    scan.faulted_pages = faulted;
    return scan;
  }
  scan = ledger_.settle_written(pages_of(areas, AreaKind::kAnonymous).without(hot_.pages()));
  scan.faulted_pages = faulted;
  yielded_ = yielded_.united(scan.data);
  return scan;
}

Result<Scan> PagemapScanTracker::cut(std::span<const Area> areas) {
  PD_ASSERT(held_.empty());
  protected_.clear();
  const PageSet ahead = std::exchange(ahead_, {});
  if (areas.empty()) {
    PD_TRY(hot_.read(pid_, {}, hot_access_));
    return ledger_.settle({});
  }
  cut_pagemap_ = PD_TRY(kernel::open_proc_file(pid_, "pagemap", O_RDONLY));
  const Fd& pagemap = cut_pagemap_;
  const PageSet all = pages_of(areas);
  const PageSet all_anonymous = pages_of(areas, AreaKind::kAnonymous);
  PageSet span;
  span.add_bytes(areas.front().start, areas.back().end);
  Places places = scope_.places_for_cut(areas, ledger_, ahead);
  // To read a page that was dropped fills it, or the whole block, without a fault that the guide
  // would tell.
  PD_TRY(hot_.read(pid_, all_anonymous.without(scope_.called()), hot_access_));
  mind_hot_pages(hot_, span, &places);
  const PageSet anonymous = places.look.intersected(all_anonymous);
  const PageSet faulted = places.only_faults.intersected(span);
  const PageSet looked = places.look.without(places.only_faults).intersected(span);
  const PageSet filled_before = known_stretches(faulted, ledger_.known());
  const PageSet slow = faulted.without(filled_before);
  // What a pass found ahead has content although no epoch knows it yet.
  const PageSet had_content = ledger_.known().united(ahead.intersected(faulted));
  PageSet written = PD_TRY(scan_written(pagemap, filled_before, Before::kFilled));
  // A fault that wrote nothing may have found a page gone that was given up with MADV_FREE.
  PageSet read;
  if (!slow.empty()) {
    written = written.united(PD_TRY(scan_written(pagemap, slow, Before::kUnknown)));
    read = scope_.faulted_for_reading(areas, slow.intersected(had_content), written);
  }
  const PageSet seen = looked.united(read.coalesced(kGapPages));
  const PageWalker::Look found = PD_TRY(look(pagemap, seen));
  const PageSet more =
      PD_TRY(walker_.protect(pagemap, found.written.without(hot_.pages()), hot_.pages()));
  ledger_.note_written(more);
  const uint64_t faulted_pages = written.united(more).intersected(ledger_.known()).pages();
  written = written.united(places.ahead);
  protected_ = faulted.united(more).united(places.ahead);
  const PageSet others = PD_TRY(unprotected(pagemap, places.unregistered)).without(hot_.pages());
  const PageSet fresh = others.intersected(anonymous);
  ledger_.note_written(fresh);
  PD_TRY(protect_fresh(pagemap, areas, fresh));
  const PageSet in_files = others.intersected(pages_of(areas, AreaKind::kFilePrivate));
  const PageSet steady = in_files.intersected(places.steady).intersected(ledger_.known());
  ledger_.note_written(PD_TRY(file_pages_.changed(pid_, in_files.without(steady))));
  const PageSet empty = found.empty.without(std::exchange(missing_, {}));
  const PageSet filled =
      looked.united(faulted.intersected(had_content)).without(empty).united(written);
  const PageSet populated = anonymous.united(places.ahead).intersected(filled).united(in_files);
  const std::vector<Area> registered = PD_TRY(register_areas(places, areas, populated));
  Scan scan = places.everything
                  ? ledger_.settle(populated.united(hot_.pages()))
                  : ledger_.settle_within(places.look.united(places.ahead), populated);
  if (places.everything) resident_pages_ = populated.pages();
  guard_pages_ = guard_pages_.without(seen).united(found.guard).intersected(all);
  scan.guard = guard_pages_;
  scan.newly_tracked_pages = fresh.pages();
  scan.looked_pages = places.look.pages();
  scan.faulted_pages = faulted_pages;
  scope_.settle(areas, registered);
  hot_.forget_left();
  yielded_ = yielded_.united(scan.data).intersected(all_anonymous);
  return scan;
}

Result<PageWalker::Look> PagemapScanTracker::look(const Fd& pagemap, const PageSet& places) {
  PageWalker::Look all;
  for (const PageRun& run : places.runs()) {
    const PageWalker::Look part =
        PD_TRY(walker_.look(pagemap, run.first << kPageShift, run.end() << kPageShift));
    for (const PageRun& each : part.written.runs()) all.written.add(each);
    for (const PageRun& each : part.empty.runs()) all.empty.add(each);
    for (const PageRun& each : part.guard.runs()) all.guard.add(each);
  }
  return all;
}

// What was written since, which is protected again. It is noted even if the rest cannot be scanned.
Result<PageSet> PagemapScanTracker::scan_written(const Fd& pagemap, const PageSet& places,
                                                 Before before) {
  PageSet written;
  for (const PageRun& run : places.runs()) {
    const uint64_t start = run.first << kPageShift, end = run.end() << kPageShift;
    const Result<PageSet> part = before == Before::kFilled
                                     ? walker_.scan_written_again(pagemap, start, end)
                                     : walker_.scan_written(pagemap, start, end);
    if (!part.ok()) {
      ledger_.note_written(written);
      return part.error();
    }
    for (const PageRun& each : part->runs()) written.add(each);
  }
  ledger_.note_written(written);
  return written;
}

Result<PageSet> PagemapScanTracker::unprotected(const Fd& pagemap, const PageSet& places) {
  PageSet all;
  for (const PageRun& run : places.runs()) {
    const PageSet part =
        PD_TRY(walker_.scan_populated(pagemap, run.first << kPageShift, run.end() << kPageShift,
                                      PageWalker::Among::kUnprotected));
    for (const PageRun& each : part.runs()) all.add(each);
  }
  return all;
}

// A guide speaks only for what is registered for certain. Areas without pages can wait. Where there
// is nothing to register, doing it once more tells whether the address space is still there.
Result<std::vector<Area>> PagemapScanTracker::register_areas(const Places& places,
                                                             std::span<const Area> areas,
                                                             const PageSet& populated) {
  std::vector<Area> registered;
  if (!scope_.follows()) return registered;
  const auto anonymous = std::find_if(areas.begin(), areas.end(), [](const Area& area) {
    return area.kind == AreaKind::kAnonymous;
  });
  if (places.doubtful.empty() && anonymous != areas.end()) PD_TRY(protect_area(*anonymous));
  for (const Area& area : places.doubtful) {
    PageSet pages;
    pages.add_bytes(area.start, area.end);
    if (pages.intersected(populated).empty()) continue;
    if (PD_TRY(protect_area(area))) registered.push_back(area);
  }
  return registered;
}

PagemapScanTracker::~PagemapScanTracker() {
  if (!held_.empty()) scope_.space()->release(held_);
}

// To read a page that a pager still has to bring would wait for it.
void PagemapScanTracker::learn(uint64_t more_max) {
  const PageSet written = std::exchange(yielded_, {});
  if (served_ || write_fault_ns() < hot_fault_ns_min_) return;
  // What a pass yielded may have been dropped since. To read it would fill it, or the whole block,
  // without a fault that the guide would tell.
  hot_.learn(written.intersected(ledger_.known()), more_max);
}

PageSet PagemapScanTracker::hold(const PageSet& data) {
  if (scope_.follows())
    held_ = scope_.space()->hold(data.intersected(protected_).without(elusive_));
  return held_;
}

Result<PageSet> PagemapScanTracker::copy_held(Copier& copier, const PageSink& sink, Access access,
                                              const PageRoom& room) {
  if (held_.empty()) return PageSet();
  const PageSet held = std::exchange(held_, {});
  HeldCopier held_copier(pid_, cut_pagemap_, walker_, *scope_.space(), images_);
  Result<PageSet> lost = held_copier.copy(held, copier, sink, access, room);
  scope_.space()->release(held);
  // A futex that processes may share makes its page writable without a fault when somebody waits.
  if (lost.ok() && lost->pages() <= kElusivePagesMax) {
    if (elusive_.runs().size() > kElusivePagesMax) elusive_.clear();
    elusive_ = elusive_.united(*lost);
  }
  return lost;
}

void PagemapScanTracker::make_room_to_hold(uint64_t pages) {
  if (scope_.follows()) scope_.space()->make_room(pages);
}

// What has no protection counts as written: the next pass protects what it yields.
Status PagemapScanTracker::arm(std::span<const Area> areas) {
  if (areas.empty()) return {};
  const Fd pagemap = PD_TRY(kernel::open_proc_file(pid_, "pagemap", O_RDONLY));
  for (const Area& area : areas) {
    if (area.kind != AreaKind::kAnonymous) continue;
    if (PD_TRY(walker_.any_unprotected(pagemap, area))) PD_TRY(protect_area(area));
  }
  return {};
}

// An area that cannot be registered stays as it is and is yielded whole by every scan.
Result<bool> PagemapScanTracker::protect_area(const Area& area) {
  Status registered = kernel::register_uffd_wp(uffd_, area.start, area.end - area.start);
  if (registered.ok()) return true;
  if (registered.error().code() == Code::kGone) return std::move(registered).error();
  return false;
}

// Registers the anonymous areas that hold fresh pages, and protects those.
Status PagemapScanTracker::protect_fresh(const Fd& pagemap, std::span<const Area> areas,
                                         const PageSet& fresh) {
  auto run = fresh.runs().begin();
  for (const Area& area : areas) {
    while (run != fresh.runs().end() && run->end() << kPageShift <= area.start) ++run;
    if (run == fresh.runs().end()) break;
    if (run->first << kPageShift >= area.end || area.kind != AreaKind::kAnonymous) continue;
    if (PD_TRY(protect_area(area))) {
      ledger_.note_written(PD_TRY(walker_.scan_written(pagemap, area.start, area.end)));
    }
  }
  return {};
}

}  // namespace perdure::memory
