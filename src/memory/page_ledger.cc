#include "memory/page_ledger.h"

#include <utility>

namespace perdure::memory {

Scan PageLedger::settle_written(const PageSet& among) {
  Scan scan;
  scan.data = written_.intersected(among);
  known_ = known_.united(scan.data);
  written_ = written_.without(scan.data);
  return scan;
}

Scan PageLedger::settle(const PageSet& populated) {
  Scan scan;
  scan.data = populated.intersected(written_).united(populated.without(known_));
  scan.absent = known_.without(populated);
  known_ = populated;
  written_.clear();
  return scan;
}

void PageLedger::give_back(const PageSet& pages) {
  known_ = known_.united(pages);
  written_ = written_.united(pages);
}

}  // namespace perdure::memory
