// Locks, as fdinfo shows them beside each descriptor: POSIX locks belong to the process, flock(2)
// and open file description locks to the description (they are recorded with the first process that
// shows them).
#include "capture/file_kinds.h"

namespace perdure::capture {
namespace {

object::FileLock::Kind kind_of(kernel::proc::FdinfoLock::Kind kind) {
  using From = kernel::proc::FdinfoLock::Kind;
  return kind == From::kPosix   ? object::FileLock::POSIX
         : kind == From::kFlock ? object::FileLock::FLOCK
                                : object::FileLock::OFD;
}

bool same_range(const object::FileLock& one, const object::FileLock& other) {
  return one.kind() == other.kind() && one.file() == other.file() && one.start() == other.start() &&
         one.length() == other.length();
}

bool is_known(const FileContext& context, size_t member, const object::FileLock& lock) {
  const bool of_process = lock.kind() == object::FileLock::POSIX;
  for (size_t i = 0; i < context.out.processes.size(); ++i) {
    if (of_process && i != member) continue;
    for (const object::FileLock& known : context.out.processes[i].locks) {
      if (same_range(known, lock)) return true;
    }
  }
  return false;
}

}  // namespace

bool is_same_lock(const object::FileLock& one, const object::FileLock& other) {
  return same_range(one, other) && one.fd() == other.fd() && one.write() == other.write();
}

Status capture_locks(FileContext& context, size_t member, int fd, const OpenFileEntry& entry,
                     const kernel::proc::Fdinfo& info) {
  for (const kernel::proc::FdinfoLock& found : info.locks) {
    if (found.kind == kernel::proc::FdinfoLock::Kind::kOther) {
      return refuse(entry, "a lease on " + entry.link, "let the program give it up");
    }
    object::FileLock lock;
    lock.set_kind(kind_of(found.kind));
    lock.set_write(found.write);
    lock.set_file(entry.id.value);
    lock.set_fd(fd);
    lock.set_start(found.start);
    lock.set_length(found.length);
    if (!is_known(context, member, lock)) {
      context.out.processes[member].locks.push_back(std::move(lock));
    }
  }
  return {};
}

}  // namespace perdure::capture
