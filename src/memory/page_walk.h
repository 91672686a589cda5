// Walks page tables of another process and says which pages of an area have content of their own:
// present or swapped out, neither the file's nor the zero page, no guard page. By PAGEMAP_SCAN
// where the kernel has it, else entry by entry.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/abi/pagemap.h"
#include "memory/page_set.h"
#include "memory/tracker.h"

namespace perdure::memory {

class PageWalker {
 public:
  explicit PageWalker(const TrackerFeatures& features) : features_(features) {}

  // By PAGEMAP_SCAN over [start, end), bytes, which may span any mappings and holes. A page that
  // does not match costs 2 ns, one that does 10 ns, and a look at whether it is the file's 20 ns
  // more: so each walk asks for what is rare.

  // Pages with content in mappings with asynchronous write protection that were written since they
  // were protected last; protects them again.
  Result<PageSet> scan_written(const Fd& pagemap, uint64_t start, uint64_t end);
  // The same, three times as fast, where all pages had content when they were protected last: one
  // that lost it meanwhile counts as written.
  Result<PageSet> scan_written_again(const Fd& pagemap, uint64_t start, uint64_t end);
  // The same for a stopped process of which it is known where to look: `written` is what look()
  // found. Pages of `never` stay as they are.
  Result<PageSet> protect(const Fd& pagemap, const PageSet& written, const PageSet& never);
  // What one walk tells of a stopped process.
  struct Look {
    PageSet written;  // as scan_written() would find them; they stay unprotected
    PageSet empty;    // never touched or dropped, the zero page, guard pages; whole holes between
                      // mappings are in it
    PageSet guard;
  };
  Result<Look> look(const Fd& pagemap, uint64_t start, uint64_t end);
  // Pages that are not there, or not protected any more, or holes.
  Result<PageSet> scan_changed(const Fd& pagemap, uint64_t start, uint64_t end);
  // Pages with content, and not the file's, in all mappings or only in those without asynchronous
  // write protection.
  enum class Among : uint8_t { kAll, kUnprotected };
  Result<PageSet> scan_populated(const Fd& pagemap, uint64_t start, uint64_t end, Among among);
  // Whether there is such a page without protection; the walk ends at the first.
  Result<bool> any_unprotected(const Fd& pagemap, const Area& area);

  // Reads /proc/PID/pagemap over the areas. kLimit where the areas are so sparse and large that
  // this would take minutes.
  struct Walk {
    PageSet populated;
    PageSet soft_dirty;  // of populated
    PageSet guard;
  };
  Result<Walk> read(const Fd& pagemap, std::span<const Area> areas);

 private:
  uint64_t guard_bit() const;
  kernel::abi::PmScanArg populated_in(uint64_t start, uint64_t end, Among among) const;
  template <typename Visit>
  Status for_each_region(const Fd& pagemap, kernel::abi::PmScanArg argument, Visit visit);

  TrackerFeatures features_;
  // Reserved, not written before the kernel does: of 200 kB a small process needs a page.
  std::unique_ptr<kernel::abi::PageRegion[]> regions_;
  std::vector<uint64_t> entries_;
};

}  // namespace perdure::memory
