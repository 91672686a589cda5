#include "memory/page_ledger.h"

#include <utility>

namespace perdure::memory {

Scan PageLedger::settle_written(const PageSet& among) {
  Scan scan;
  scan.data = written_.intersected(among);
  know(scan.data);
  written_ = written_.without(scan.data);
  return scan;
}

// Mostly they are known, and then the large set needs no copy.
void PageLedger::know(const PageSet& pages) {
  const PageSet more = pages.without(known_);
  if (!more.empty()) known_ = known_.united(more);
}

Scan PageLedger::settle(const PageSet& populated) {
  Scan scan;
  scan.data = populated.intersected(written_).united(populated.without(known_));
  scan.absent = known_.without(populated);
  known_ = populated;
  written_.clear();
  return scan;
}

Scan PageLedger::settle_within(const PageSet& where, const PageSet& populated) {
  const PageSet known_here = where.intersected(known_);
  Scan scan;
  scan.data = populated.intersected(written_).united(populated.without(known_here));
  scan.absent = known_here.without(populated);
  if (!scan.absent.empty()) known_ = known_.without(scan.absent);
  know(populated);
  written_ = written_.without(where);
  return scan;
}

void PageLedger::give_back(const PageSet& pages) {
  know(pages);
  written_ = written_.united(pages);
}

}  // namespace perdure::memory
