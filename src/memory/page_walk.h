// Walks page tables of another process and says which pages of an area have content of their own:
// present or swapped out, neither the file's nor the zero page, no guard page. By PAGEMAP_SCAN
// where the kernel has it, else entry by entry.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/abi/pagemap.h"
#include "memory/page_set.h"
#include "memory/tracker.h"

namespace perdure::memory {

struct Walk {
  PageSet populated;
  PageSet written;  // of populated: not write protected, or soft-dirty
};

// Which mappings a walk looks at, and what it does with them.
enum class WalkKind : uint8_t {
  kAll,              // every mapping
  kProtected,        // those with asynchronous write protection; protects again what it finds
  kUnprotectedOnly,  // the others
};

class PageWalker {
 public:
  explicit PageWalker(const TrackerFeatures& features) : features_(features) {}

  // PAGEMAP_SCAN over [start, end), bytes. Holes and foreign mappings in it cost nothing.
  Result<Walk> scan(const Fd& pagemap, uint64_t start, uint64_t end, WalkKind kind);
  Result<PageSet> scan_guard_pages(const Fd& pagemap, uint64_t start, uint64_t end);

  // Reads /proc/PID/pagemap over the areas. `written` holds the soft-dirty pages. kLimit where the
  // areas are so sparse and large that this would take minutes.
  Result<Walk> read(const Fd& pagemap, std::span<const Area> areas, PageSet* guard);

 private:
  template <typename Visit>
  Status for_each_region(const Fd& pagemap, kernel::abi::PmScanArg argument, Visit visit);

  TrackerFeatures features_;
  std::vector<kernel::abi::PageRegion> regions_;
  std::vector<uint64_t> entries_;
};

}  // namespace perdure::memory
