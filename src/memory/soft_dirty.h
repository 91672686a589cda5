// Tracker by soft-dirty bits (CONFIG_MEM_SOFT_DIRTY): read from /proc/PID/pagemap, reset through
// /proc/PID/clear_refs. Between reading and resetting, writes of a running process would be lost;
// so kPrecopy yields nothing, and kCut does both while the process is stopped.
#pragma once

#include <span>

#include "memory/page_ledger.h"
#include "memory/page_walk.h"
#include "memory/tracker.h"

namespace perdure::memory {

class SoftDirtyTracker final : public Tracker {
 public:
  SoftDirtyTracker(pid_t pid, const TrackerFeatures& features) : pid_(pid), walker_(features) {}
  TrackerKind kind() const override { return TrackerKind::kSoftDirty; }
  Result<Scan> scan(std::span<const Area> areas, Mode mode) override;
  const PageSet& known() const override { return ledger_.known(); }
  void give_back(const PageSet& pages) override { ledger_.give_back(pages); }
  PageSet unyielded() const override { return ledger_.written(); }

 private:
  pid_t pid_;
  PageWalker walker_;
  PageLedger ledger_;
};

}  // namespace perdure::memory
