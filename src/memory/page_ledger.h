// PageLedger: turns what a walk over page tables found into what must be stored. It knows which
// pages earlier scans yielded, and which were found written but not yielded yet; every tracker has
// one.
#pragma once

#include "memory/page_set.h"
#include "memory/tracker.h"

namespace perdure::memory {

class PageLedger {
 public:
  // Pages found written. They stay noted until a settle() yields them, so that a failure in between
  // loses none.
  void note_written(const PageSet& pages) { written_ = written_.united(pages); }
  // kPrecopy: yields what is noted as written within `among`; it may have been dropped since.
  Scan settle_written(const PageSet& among);
  // kCut. populated: the pages of the areas that have content of their own, exactly.
  Scan settle(const PageSet& populated);
  // The same where only the pages of `where` were looked at, and all others are as they were.
  Scan settle_within(const PageSet& where, const PageSet& populated);
  // What the store may hold of pages, and pages that are noted and were not yielded yet.
  const PageSet& known() const { return known_; }
  const PageSet& written() const { return written_; }
  // The store holds these already.
  void inherit(const PageSet& pages) { know(pages); }
  // Pages to be looked at anew, as if they had been stored and then written.
  void give_back(const PageSet& pages);

 private:
  void know(const PageSet& pages);

  PageSet known_;    // yielded as data and not as absent since: what the store may hold
  PageSet written_;  // to be yielded if populated
};

}  // namespace perdure::memory
