// The tracker that needs nothing of the kernel: every page with content is yielded by every kCut
// scan. kPrecopy yields nothing, because what was copied early would be copied again.
#pragma once

#include <span>

#include "memory/page_ledger.h"
#include "memory/page_walk.h"
#include "memory/tracker.h"

namespace perdure::memory {

class FullTracker final : public Tracker {
 public:
  FullTracker(pid_t pid, const TrackerFeatures& features)
      : pid_(pid), features_(features), walker_(features) {}
  TrackerKind kind() const override { return TrackerKind::kFull; }
  Result<Scan> scan(std::span<const Area> areas, Mode mode) override;
  const PageSet& known() const override { return ledger_.known(); }
  void give_back(const PageSet& pages) override { ledger_.give_back(pages); }
  PageSet unyielded() const override { return ledger_.written(); }

 private:
  pid_t pid_;
  TrackerFeatures features_;
  PageWalker walker_;
  PageLedger ledger_;
};

}  // namespace perdure::memory
