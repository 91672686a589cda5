// BulkLoader: fills new anonymous mappings of one skeleton with many pages, from several threads of
// the engine at once, through a userfaultfd taken out of the skeleton. Pages are verified as they
// are read. It is faster than the skeleton's own reads, which fault page by page; small mappings
// are not worth its setup.
#pragma once

#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "object/memory.pb.h"
#include "restore/site.h"
#include "store/page_map.h"

namespace perdure::restore {

class BulkLoader {
 public:
  // A mapping with fewer pages than this is loaded plainly.
  static constexpr uint64_t kPagesMin = 64;

  BulkLoader(Skeleton* skeleton, const Site* site) : skeleton_(*skeleton), site_(*site) {}

  // False: this kernel does not let us; nothing may be taken.
  Result<bool> open();
  // Takes a mapping over if it is fit for it: new, anonymous, not growing, of enough pages.
  bool take(const object::Vma& vma, const std::vector<store::PageExtent>& extents);
  uint64_t pages() const { return pages_; }
  // Once the mappings are there.
  Status load();

 private:
  // Pages that follow each other in memory, at most kPartPages, from one or more places in the
  // store.
  struct Part {
    uint64_t first_page;
    std::vector<store::PageExtent> extents;
  };
  struct Range {
    RemoteAddr start;
    uint64_t size;
  };
  static constexpr uint64_t kPartPages = 256;

  void add(const store::PageExtent& extent);
  Status load_parts();
  Status load_part(const Part& part, MutableBytes buffer) const;

  Skeleton& skeleton_;
  const Site& site_;
  Fd uffd_;
  std::vector<Range> ranges_;
  std::vector<Part> parts_;
  uint64_t next_page_ = 0;  // behind the last part
  uint64_t last_part_pages_ = 0;
  uint64_t pages_ = 0;
};

}  // namespace perdure::restore
