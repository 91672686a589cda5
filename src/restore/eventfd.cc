#include "kernel/event_files.h"
#include "restore/file_kinds.h"

namespace perdure::restore {

Result<Fd> open_eventfd(const object::OpenFile& record) {
  const object::EventFd& eventfd = record.eventfd();
  return kernel::make_eventfd(eventfd.count(), eventfd.semaphore()
                                                   ? kernel::EventCounting::kSemaphore
                                                   : kernel::EventCounting::kWhole);
}

}  // namespace perdure::restore
