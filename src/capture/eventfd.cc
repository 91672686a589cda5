// eventfd(2): the counter, as fdinfo tells it. Reading it would reset it.
#include "capture/file_kinds.h"

namespace perdure::capture {

Status capture_eventfd(FileContext&, OpenFileEntry& entry) {
  if (!entry.info.eventfd_count) {
    return Error(Code::kUnavailable, entry.where + ": this kernel does not tell the eventfd count");
  }
  object::EventFd* eventfd = entry.record.mutable_eventfd();
  eventfd->set_count(*entry.info.eventfd_count);
  eventfd->set_semaphore(entry.info.eventfd_semaphore);
  return {};
}

}  // namespace perdure::capture
