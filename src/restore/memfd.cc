// Memory objects with a file of their own, and their descriptors. The group's object is made and
// filled once; each description and each mapping is another open of it.
#include <fcntl.h>
#include <sys/stat.h>

#include "kernel/file.h"
#include "kernel/shared_memory.h"
#include "restore/file_kinds.h"

namespace perdure::restore {
namespace {

using object::MemoryObject;

// linux/fcntl.h: writable mappings made before this seal stay, so it follows them (seal_calls()).
constexpr uint32_t kSealFutureWrite = 0x0010;

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos || slash == 0 ? "/" : path.substr(0, slash);
}

// Where the folder of a removed file is gone too, any place that takes unnamed files will do: no
// path leads to it.
Result<Fd> make_deleted_file(const std::string& name) {
  for (const std::string& folder : {folder_of(name), std::string("/tmp"), std::string("/")}) {
    Result<Fd> file = kernel::make_unnamed_file(folder);
    if (file.ok()) return file;
  }
  return Error(Code::kIo, "no folder takes the removed file " + name)
      .with_remedy("make its folder or /tmp writable");
}

// A file on tmpfs outlives its processes: the same file gets the epoch's content again. Another one
// of that name may belong to somebody else, unless the group's file systems are its own.
Result<Fd> make_tmpfs_file(const FileMaker& maker, const MemoryObject& record) {
  const Result<struct stat> found = kernel::lstat_path(record.name());
  if (found.ok()) {
    const bool same = found->st_dev == record.device() && found->st_ino == record.inode();
    if (same) return kernel::open_file(record.name(), O_RDWR | O_TRUNC | O_NOFOLLOW);
    if (!maker.options().fresh_namespaces) {
      return Error(Code::kChanged,
                   record.name() + " exists, and is not the file that the epoch holds")
          .with_remedy("remove it, or restore with --isolate");
    }
    PD_TRY(kernel::unlink_path(record.name()));
  }
  return kernel::open_file(record.name(), O_RDWR | O_CREAT | O_EXCL, 0600);
}

Result<Fd> make_file(const FileMaker& maker, const MemoryObject& record) {
  switch (record.kind()) {
    case MemoryObject::ANONYMOUS:
      return kernel::make_shared_anonymous(record.size());
    case MemoryObject::MEMFD:
      return kernel::make_memfd(record.name());
    case MemoryObject::POSIX_SHM:
      return make_tmpfs_file(maker, record);
    case MemoryObject::DELETED_FILE:
      return make_deleted_file(record.name());
    default:
      return Error(Code::kNewer, "the epoch holds a memory object of an unknown kind");
  }
}

Status make_memory_object(FileMaker* maker, ObjectId id, const MemoryObject& record) {
  Fd file = PD_TRY(make_file(*maker, record));
  const bool anonymous = record.kind() == MemoryObject::ANONYMOUS;
  if (!anonymous) PD_TRY(kernel::truncate_file(file.get(), record.size()));
  if (maker->options().fill_memory) PD_TRY(maker->options().fill_memory(id, file.get()));
  if (!anonymous) {
    PD_TRY(kernel::set_owner_and_mode(file.get(), record.uid(), record.gid(), record.mode()));
  }
  const uint32_t seals = record.seals() & ~kSealFutureWrite;
  const bool later = seals != record.seals();
  if (record.kind() == MemoryObject::MEMFD && seals != 0 && !later) {
    PD_TRY(kernel::add_seals(file.get(), seals));
  }
  return maker->keep_memory(id, std::move(file));
}

}  // namespace

Status make_memory_objects(FileMaker* maker) {
  for (const auto& [id, record] : maker->graph().memory_objects) {
    if (record.kind() == MemoryObject::SYSV)
      continue;  // made by shmget(2) in the group's IPC namespace
    PD_TRY_WITHIN("restore shared memory " + record.name(), make_memory_object(maker, id, record));
  }
  return {};
}

Result<Fd> open_memfd(const FileMaker& maker, const object::OpenFile& record) {
  const int memory = PD_TRY(maker.memory(ObjectId(record.memfd().memory_object())));
  Fd file = PD_TRY(kernel::open_file(kernel::path_of_fd(memory), reopen_flags(record)));
  if (record.memfd().offset() != 0) PD_TRY(kernel::seek(file.get(), record.memfd().offset()));
  return file;
}

}  // namespace perdure::restore
