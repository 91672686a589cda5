#include <sys/sysmacros.h>

#include "kernel/file.h"
#include "restore/file_kinds.h"

namespace perdure::restore {

Result<Fd> open_device(const object::OpenFile& record) {
  const object::Device& device = record.device();
  Fd file = PD_TRY(kernel::open_file(device.path(), open_flags(record)));
  const struct stat found = PD_TRY(kernel::stat_fd(file.get()));
  if (S_ISCHR(found.st_mode) && found.st_rdev == makedev(device.major(), device.minor())) {
    return file;
  }
  return Error(Code::kChanged, device.path() + " is not the device that it was");
}

}  // namespace perdure::restore
