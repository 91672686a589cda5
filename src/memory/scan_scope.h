// Where a tracker has to look: everywhere, or, once a guide watches the address space, at the
// places that it tells, and at mappings that it cannot speak for, because they are not, or may not
// be, registered with the tracker's userfaultfd.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "memory/page_ledger.h"
#include "memory/page_set.h"
#include "memory/tracker.h"
#include "memory/write_guide.h"

namespace perdure::memory {

// A call for a place of its own costs about as much as walking over so many pages.
inline constexpr uint64_t kGapPages = 1024;

struct Places {
  bool everything = true;
  PageSet look;          // from the first area's start to the last one's end, or parts of that
  PageSet only_faults;   // of it: nothing but page faults went on there
  PageSet unregistered;  // of it: mappings that may not be registered
  std::vector<Area> doubtful;  // the anonymous areas among them
  PageSet ahead;               // of what was found ahead, the pages where nothing happened since
  PageSet steady;  // mappings of files: pages that are known are as they were, if they are there
};

class ScanScope {
 public:
  // From now on the guide is asked. Until the first settle() it is everything still.
  void follow(std::unique_ptr<WatchedSpace> space) { space_ = std::move(space); }
  bool follows() const { return space_ != nullptr; }
  WatchedSpace* space() { return space_.get(); }

  // areas: not empty. While the process runs.
  Places places_for_pass(std::span<const Area> areas, const PageLedger& ledger);
  // After that: these pages were found written, and are protected again.
  void settle_written(const PageSet& written) {
    if (space_ != nullptr) space_->settle_written(written);
  }
  // While it is stopped. What the ledger has noted is to be looked at, too, but for `ahead`: that
  // was found written in a pass, and is protected since.
  Places places_for_cut(std::span<const Area> areas, const PageLedger& ledger,
                        const PageSet& ahead);
  // Since the last settle(), as of the last places_for_cut(): where the guide tells of calls that
  // change pages.
  PageSet called() const { return space_ == nullptr ? PageSet() : space_->called(); }
  // Of the pages that faulted since the last settle(), those of `among` that are not in `written`.
  PageSet faulted_for_reading(std::span<const Area> areas, const PageSet& among,
                              const PageSet& written) const {
    return space_ == nullptr ? PageSet() : space_->faulted_for_reading(areas, among, written);
  }
  // The process is stopped and all places for the cut were looked at; these areas are known to be
  // registered now.
  void settle(std::span<const Area> areas, std::span<const Area> registered);

 private:
  std::unique_ptr<WatchedSpace> space_;
  PageSet registered_;       // as of the last settle()
  std::vector<Area> areas_;  // of the last settle()
};

}  // namespace perdure::memory
