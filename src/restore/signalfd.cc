#include "kernel/event_files.h"
#include "restore/file_kinds.h"

namespace perdure::restore {

Result<Fd> open_signalfd(const object::OpenFile& record) {
  return kernel::make_signalfd(record.signalfd().mask());
}

}  // namespace perdure::restore
