#include <fcntl.h>

#include "kernel/file.h"
#include "restore/file_kinds.h"

namespace perdure::restore {

// The description is shared with whoever restores. O_NONBLOCK is set if the program had set it,
// because its event loop must not block; nothing else of it is touched.
Result<Fd> open_standard_stream(const FileMaker& maker, const object::OpenFile& record) {
  const int number = record.standard_stream().number();
  if (number < 0 || number > 2) return Error(Code::kCorrupt, "there is no such standard stream");
  const int given = maker.options().streams[static_cast<size_t>(number)];
  Fd file = PD_TRY(kernel::duplicate_above(given, maker.first()));
  const int flags = PD_TRY(kernel::status_flags(file.get()));
  if ((record.flags() & O_NONBLOCK) != 0 && (flags & O_NONBLOCK) == 0) {
    PD_TRY(kernel::set_status_flags(file.get(), flags | O_NONBLOCK));
  }
  return file;
}

}  // namespace perdure::restore
