#include "memory/tracker.h"

#include "kernel/memory.h"
#include "memory/full.h"
#include "memory/pagemap_scan.h"
#include "memory/soft_dirty.h"

namespace perdure::memory {
namespace {

bool names(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    size_t comma = list.find(',');
    if (list.substr(0, comma) == name) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

}  // namespace

const char* tracker_kind_name(TrackerKind kind) {
  switch (kind) {
    case TrackerKind::kPagemapScan:
      return "pagemap_scan";
    case TrackerKind::kSoftDirty:
      return "soft_dirty";
    case TrackerKind::kFull:
      return "full";
  }
  return "?";
}

TrackerFeatures probe_tracker_features(std::string_view disabled) {
  TrackerFeatures features;
  features.pagemap_scan = !names(disabled, "pagemap_scan") && kernel::has_pagemap_scan();
  features.wp_async = !names(disabled, "wp_async") && kernel::has_async_write_protection();
  features.guard = features.pagemap_scan && kernel::has_guard_pages_in_scan();
  features.soft_dirty = !names(disabled, "soft_dirty") && kernel::has_soft_dirty();
  features.write_guide = !names(disabled, "write_guide");
  return features;
}

const PageSet& Tracker::hot() const {
  static const PageSet kNone;
  return kNone;
}

TrackerKind best_tracker(const TrackerFeatures& features) {
  if (features.pagemap_scan && features.wp_async) return TrackerKind::kPagemapScan;
  return features.soft_dirty ? TrackerKind::kSoftDirty : TrackerKind::kFull;
}

Result<std::unique_ptr<Tracker>> Tracker::create(TrackerKind kind, pid_t pid, Fd uffd,
                                                 const TrackerFeatures& features, LazyGuide* guide,
                                                 kernel::LazyTaskImages* images) {
  switch (kind) {
    case TrackerKind::kPagemapScan:
      return PagemapScanTracker::create(pid, std::move(uffd), features, guide, images);
    case TrackerKind::kSoftDirty:
      return std::unique_ptr<Tracker>(std::make_unique<SoftDirtyTracker>(pid, features));
    case TrackerKind::kFull:
      return std::unique_ptr<Tracker>(std::make_unique<FullTracker>(pid, features));
  }
  return Error(Code::kInvalid, "no such page tracker");
}

}  // namespace perdure::memory
