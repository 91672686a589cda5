// The tracker of choice: userfaultfd's asynchronous write protection, found and renewed by
// PAGEMAP_SCAN (Linux 6.7).
//
// Why a page cannot be missed: the kernel sets a page's protection only in the scan that reports it
// (under the page table lock), and drops it at the first write, when the page is unmapped or
// replaced, in a child of fork, and when it is moved by mremap. A mapping that is not registered
// has no protection, so its pages count as written. What is not protected and has content is
// reported; hence everything that differs from what was reported last is reported. A guide only
// tells where nothing of all that can have happened (write_guide.h). Pages that were
// never touched are left alone: once they get content, they are unprotected.
// Hot pages have no protection, and are copied in each stop (hot_pages.h); when they are hot no
// more, the next cut looks where they were. A pager of a lazy restore has registered its ranges
// itself, and places pages protected; so they count as written only once they were. A page that is
// missing must not be protected: no page of zeros could be put there. Hence there, only what has
// content is ever asked for.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/fd.h"
#include "memory/hot_pages.h"
#include "memory/page_hashes.h"
#include "memory/page_ledger.h"
#include "memory/page_walk.h"
#include "memory/scan_scope.h"
#include "memory/tracker.h"

namespace perdure::memory {

class PagemapScanTracker final : public Tracker {
 public:
  static Result<std::unique_ptr<Tracker>> create(pid_t pid, Fd uffd,
                                                 const TrackerFeatures& features, LazyGuide* guide,
                                                 kernel::LazyTaskImages* images);

  ~PagemapScanTracker() override;
  TrackerKind kind() const override { return TrackerKind::kPagemapScan; }
  Result<Scan> scan(std::span<const Area> areas, Mode mode) override;
  Status arm(std::span<const Area> areas) override;
  const PageSet& known() const override { return ledger_.known(); }
  bool inherit(const PageSet& pages) override;
  void set_missing(const PageSet& pages) override { missing_ = pages; }
  void give_back(const PageSet& pages) override { ledger_.give_back(pages); }
  bool may_hold() const override { return scope_.follows(); }
  PageSet hold(const PageSet& data) override;
  Result<PageSet> copy_held(Copier& copier, const PageSink& sink, Access access,
                            const PageRoom& room) override;
  void make_room_to_hold(uint64_t pages) override;
  const PageSet& hot() const override { return hot_.pages(); }
  PageSet unyielded() const override {
    return ledger_.written().united(hot_.pages()).united(hot_.left());
  }
  void read_hot_by(Access access) override { hot_access_ = access; }
  Status pass_on_hot(const PageSink& sink) override { return hot_.pass_on(sink); }
  void learn(uint64_t more_max) override;

  // Only create() can make an Enabled: the descriptor has the feature on.
  class Enabled {
    friend class PagemapScanTracker;
    Enabled() = default;
  };
  PagemapScanTracker(Enabled, pid_t pid, Fd uffd, const TrackerFeatures& features, LazyGuide* guide,
                     kernel::LazyTaskImages* images)
      : pid_(pid),
        uffd_(std::move(uffd)),
        walker_(features),
        guide_(guide),
        images_(images),
        guided_pages_min_(features.guided_pages_min),
        hot_fault_ns_min_(features.hot_fault_ns_min),
        hot_(features.hot_pages_max) {}

 private:
  Result<Scan> pass(std::span<const Area> areas, Mode mode);
  Result<Scan> cut(std::span<const Area> areas);
  void follow_guide();
  Result<PageWalker::Look> look(const Fd& pagemap, const PageSet& places);
  // Whether all pages of a place had content when they were protected last.
  enum class Before : uint8_t { kFilled, kUnknown };
  Result<PageSet> scan_written(const Fd& pagemap, const PageSet& places, Before before);
  Result<PageSet> unprotected(const Fd& pagemap, const PageSet& places);
  Result<std::vector<Area>> register_areas(const Places& places, std::span<const Area> areas,
                                           const PageSet& populated);
  Result<bool> protect_area(const Area& area);
  Status protect_fresh(const Fd& pagemap, std::span<const Area> areas, const PageSet& fresh);

  pid_t pid_;
  Fd uffd_;
  PageWalker walker_;
  PageLedger ledger_;
  PageHashes file_pages_;
  PageSet guard_pages_;             // as of the last cut
  LazyGuide* guide_;                // null: none, or none any more
  kernel::LazyTaskImages* images_;  // may be null
  uint64_t guided_pages_min_;
  uint64_t resident_pages_ = 0;  // as of the last cut that looked everywhere
  ScanScope scope_;
  PageSet ahead_;      // found written by passes of kAhead since the last cut
  PageSet protected_;  // where all that has content is, as of the last cut
  Fd cut_pagemap_;     // of the address space that it looked at
  PageSet held_;
  uint64_t hot_fault_ns_min_;
  Access hot_access_ = Access::kGentle;
  HotPages hot_;
  PageSet yielded_;      // as data since the last learn(); of the areas of the last cut
  bool served_ = false;  // by a pager, which protects what it places
  PageSet missing_;      // that it has not placed yet
  PageSet elusive_;      // were lost when they were held: they are copied in the stop
};

}  // namespace perdure::memory
