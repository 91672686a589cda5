// PageSet: a set of page numbers (address / 4096 or offset / 4096) as sorted, disjoint,
// non-adjacent runs. Memory is 16 bytes a run. Iterating is in ascending order. Set operations are
// linear in the runs,
// and in those of the smaller set alone where it is much smaller and the result is no larger.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace perdure::memory {

struct PageRun {
  uint64_t first = 0;  // page number
  uint64_t count = 0;  // pages, > 0
  uint64_t end() const { return first + count; }
  bool operator==(const PageRun&) const = default;
};

class PageSet {
 public:
  PageSet() = default;
  // Adds a run. Fast when runs come in ascending order; else O(runs).
  void add(PageRun run);
  void add_bytes(uint64_t start, uint64_t end);  // addresses, page aligned
  void clear() { runs_.clear(); }
  // Keeps the memory for later additions, so that a stop window does not allocate.
  void reserve(size_t runs) { runs_.reserve(runs); }

  bool empty() const { return runs_.empty(); }
  uint64_t pages() const;
  bool contains(uint64_t page) const { return contains(PageRun{page, 1}); }
  bool contains(PageRun run) const;  // all of it
  bool meets(PageRun run) const;     // any of it
  const std::vector<PageRun>& runs() const& { return runs_; }
  std::vector<PageRun> runs() && {
    return std::move(runs_);
  }  // so that a loop over a temporary is safe
  bool operator==(const PageSet&) const = default;

  PageSet united(const PageSet& other) const;
  PageSet intersected(const PageSet& other) const;
  PageSet without(const PageSet& other) const;
  // With all gaps between runs filled that have at most so many pages.
  PageSet coalesced(uint64_t gap) const;

 private:
  std::vector<PageRun> runs_;
};

}  // namespace perdure::memory
