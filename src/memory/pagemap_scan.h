// The tracker of choice: userfaultfd's asynchronous write protection, found and renewed by
// PAGEMAP_SCAN (Linux 6.7).
//
// Why a page cannot be missed: the kernel sets a page's protection only in the scan that reports it
// (under the page table lock), and drops it at the first write, when the page is unmapped or
// replaced, in a child of fork, and when it is moved by mremap. A mapping that is not registered
// has no protection, so its pages count as written. What is not protected and has content is
// reported; hence everything that differs from what was reported last is reported. Pages that were
// never touched are left alone: once they get content, they are unprotected.
#pragma once

#include <memory>
#include <span>

#include "base/fd.h"
#include "memory/page_hashes.h"
#include "memory/page_ledger.h"
#include "memory/page_walk.h"
#include "memory/tracker.h"

namespace perdure::memory {

class PagemapScanTracker final : public Tracker {
 public:
  static Result<std::unique_ptr<Tracker>> create(pid_t pid, Fd uffd,
                                                 const TrackerFeatures& features);

  TrackerKind kind() const override { return TrackerKind::kPagemapScan; }
  Result<Scan> scan(std::span<const Area> areas, Mode mode) override;
  Status arm(std::span<const Area> areas) override;
  void give_back(const PageSet& pages) override { ledger_.give_back(pages); }

  // Only create() can make an Enabled: the descriptor has the feature on.
  class Enabled {
    friend class PagemapScanTracker;
    Enabled() = default;
  };
  PagemapScanTracker(Enabled, pid_t pid, Fd uffd, const TrackerFeatures& features)
      : pid_(pid), uffd_(std::move(uffd)), walker_(features) {}

 private:
  Result<Scan> scan_areas(std::span<const Area> areas, Mode mode);
  Status protect_fresh(const Fd& pagemap, std::span<const Area> areas, const PageSet& fresh);

  pid_t pid_;
  Fd uffd_;
  PageWalker walker_;
  PageLedger ledger_;
  PageHashes file_pages_;
};

}  // namespace perdure::memory
