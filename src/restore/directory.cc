#include <fcntl.h>

#include "kernel/file.h"
#include "restore/file_kinds.h"

namespace perdure::restore {

Result<Fd> open_directory(const object::OpenFile& record) {
  const object::Directory& directory = record.directory();
  Fd file = PD_TRY(open_identified(directory.identity(), open_flags(record) | O_DIRECTORY));
  if (directory.offset() != 0) PD_TRY(kernel::seek(file.get(), directory.offset()));
  return file;
}

}  // namespace perdure::restore
