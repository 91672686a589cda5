#include "memory/page_ledger.h"

#include <utility>

namespace perdure::memory {

Scan PageLedger::settle(const PageSet& populated, Mode mode) {
  Scan scan;
  scan.data = populated.intersected(written_).united(populated.without(known_));
  if (mode == Mode::kPrecopy) {
    known_ = known_.united(scan.data);
    written_ = written_.without(scan.data);
    return scan;
  }
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
