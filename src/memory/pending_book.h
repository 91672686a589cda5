// PendingBook: which pages of one lazily restored address space have not come yet, one bit for each
// page that was saved, in memory that the pager's process and the engine share. The pager writes,
// the engine reads; both work out the same places from the same set of pages.
//
// The engine reads while the group is stopped: no change of memory begins then, and `turns` tells
// whether one is still being taken in. Pages only come meanwhile, so what it reads may name a page
// that has come by now; it never fails to name one that is missing.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "memory/page_set.h"

namespace perdure::memory {

// One for all spaces of a group.
struct PendingState {
  std::atomic<uint64_t> turns = 0;  // odd: messages are being read and taken in
  // A process was forked, or memory moved, while pages were missing: what is missing is not where
  // the books say.
  std::atomic<bool> strayed = false;
};

class PendingBook {
 public:
  using Word = std::atomic<uint64_t>;
  static uint64_t words_for(const PageSet& pages) { return (pages.pages() + 63) / 64; }
  // words: words_for(pages), zero at first; they outlive the book.
  PendingBook(PageSet pages, Word* words);

  const PageSet& saved() const { return pages_; }
  // By the pager: all are missing; those of the range are missing no more.
  void fill();
  void clear(uint64_t first_page, uint64_t count);
  PageSet pending() const;

 private:
  PageSet pages_;
  std::vector<uint64_t> before_;  // of each run: pages of the runs before it
  Word* words_;
};

}  // namespace perdure::memory
