// Locks that belong to descriptions. Those of a process (POSIX) are placed by itself: see
// file_late.h.
#include "kernel/file.h"
#include "restore/file_kinds.h"

namespace perdure::restore {
namespace {

Status place(const FileMaker& maker, const object::FileLock& lock) {
  const int fd = PD_TRY(maker.made(ObjectId(lock.file())));
  if (lock.kind() == object::FileLock::FLOCK) return kernel::lock_description(fd, lock.write());
  return kernel::lock_range(fd, lock.write(), {lock.start(), lock.length()});
}

}  // namespace

Status place_file_locks(const FileMaker& maker) {
  for (const auto& [id, process] : maker.graph().processes) {
    for (const object::FileLock& lock : process.locks()) {
      if (lock.kind() == object::FileLock::POSIX) continue;
      const auto record = maker.graph().open_files.find(ObjectId(lock.file()));
      if (record == maker.graph().open_files.end()) {
        return Error(Code::kCorrupt, "a lock refers to no open file");
      }
      PD_TRY_WITHIN("lock " + describe(record->second), place(maker, lock));
    }
  }
  return {};
}

}  // namespace perdure::restore
