// signalfd(2): its mask. The signals themselves are pending in threads and processes.
#include "capture/file_kinds.h"

namespace perdure::capture {

Status capture_signalfd(FileContext&, OpenFileEntry& entry) {
  if (!entry.info.signal_mask) {
    return Error(Code::kUnavailable, entry.where + ": this kernel does not tell the signalfd mask");
  }
  entry.record.mutable_signalfd()->set_mask(*entry.info.signal_mask);
  return {};
}

}  // namespace perdure::capture
