#include "capture/memory_objects.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>

#include <utility>

#include "base/assert.h"
#include "kernel/file.h"
#include "kernel/memory.h"

namespace perdure::capture {
namespace {

using object::MemoryObject;

constexpr std::string_view kDeletedSuffix = " (deleted)";
constexpr std::string_view kMemfdPrefix = "/memfd:";
constexpr std::string_view kSysvPrefix = "/SYSV";
constexpr std::string_view kAnonymousName = "/dev/zero";

std::string_view without_deleted(std::string_view link) {
  if (link.ends_with(kDeletedSuffix)) link.remove_suffix(kDeletedSuffix.size());
  return link;
}

// SysV segments have their id for an inode number, which may be that of another file of the same
// internal file system.
std::string key_of(MemoryObject::Kind kind, const struct stat& file) {
  if (kind == MemoryObject::SYSV) return "mem:sysv:" + std::to_string(file.st_ino);
  return "mem:" + std::to_string(file.st_dev) + ":" + std::to_string(file.st_ino);
}

Error unsupported(std::string what) {
  return Error(Code::kUnsupported, std::move(what) + " cannot be saved");
}

}  // namespace

Result<ObjectId> MemoryObjects::add(const std::string& proc_path, std::string_view link,
                                    Tmpfs tmpfs) {
  const struct stat file = PD_TRY(kernel::stat_path(proc_path));
  return add_seen(file, proc_path, link, tmpfs);
}

Result<ObjectId> MemoryObjects::add_seen(const struct stat& file, const std::string& proc_path,
                                         std::string_view link, Tmpfs tmpfs) {
  std::optional<Class> what = PD_TRY(classify(file, proc_path, without_deleted(link), tmpfs));
  if (!what) return ObjectId();
  return insert(file, proc_path, *what);
}

Result<ObjectId> MemoryObjects::add_fd(int fd, std::string_view link, Tmpfs tmpfs) {
  return add(kernel::path_of_fd(fd), link, tmpfs);
}

Result<ObjectId> MemoryObjects::add_unreachable(const std::string& proc_path,
                                                std::string_view link) {
  struct stat file = PD_TRY(kernel::stat_path(proc_path));
  PD_ASSERT(S_ISREG(file.st_mode));
  return insert(file, proc_path,
                Class{MemoryObject::DELETED_FILE, std::string(without_deleted(link))});
}

const MemoryEntry* MemoryObjects::find(ObjectId id) const {
  auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second;
}

void MemoryObjects::clear() {
  entries_.clear();
  file_systems_.clear();  // device numbers of unmounted file systems are used again
}

Result<std::optional<MemoryObjects::Class>> MemoryObjects::classify(const struct stat& file,
                                                                    const std::string& proc_path,
                                                                    std::string_view link,
                                                                    Tmpfs tmpfs) {
  if (!S_ISREG(file.st_mode)) return std::optional<Class>();
  int64_t type = PD_TRY(file_system(file, proc_path));
  if (type == HUGETLBFS_MAGIC) return unsupported("memory in huge pages of hugetlbfs");
  if (type == SECRETMEM_MAGIC) return unsupported("secret memory (memfd_secret)");
  std::string name(link);
  bool unlinked = file.st_nlink == 0;
  // memfd, shared anonymous and SysV memory live in a tmpfs of the kernel's own, without links.
  if (type == TMPFS_MAGIC && unlinked && kernel::is_internal_memory(file.st_dev)) {
    if (link.starts_with(kMemfdPrefix))
      return std::optional(Class{MemoryObject::MEMFD, name.substr(7)});
    if (link.starts_with(kSysvPrefix)) return std::optional(Class{MemoryObject::SYSV, name});
    if (link == kAnonymousName) return std::optional(Class{MemoryObject::ANONYMOUS, ""});
    return unsupported("memory of the kernel");
  }
  if (unlinked) return std::optional(Class{MemoryObject::DELETED_FILE, name});
  bool shared_memory = type == TMPFS_MAGIC && tmpfs == Tmpfs::kAsMemory;
  if (shared_memory) return std::optional(Class{MemoryObject::POSIX_SHM, name});
  return std::optional<Class>();
}

Result<ObjectId> MemoryObjects::insert(const struct stat& file, const std::string& proc_path,
                                       const Class& what) {
  ObjectId id = ids_->id_of(key_of(what.kind, file));
  if (entries_.contains(id)) return id;
  MemoryEntry entry;
  entry.id = id;
  entry.content =
      PD_TRY(kernel::open_file(proc_path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  MemoryObject& record = entry.record;
  record.set_kind(what.kind);
  record.set_size(static_cast<uint64_t>(file.st_size));
  record.set_name(what.name);
  record.set_device(file.st_dev);
  record.set_inode(file.st_ino);
  if (what.kind == MemoryObject::SYSV) {
    record.set_sysv_id(
        static_cast<int32_t>(file.st_ino));  // owner and mode are those of the SysvSegment
  } else {
    record.set_mode(file.st_mode & 07777);
    record.set_uid(file.st_uid);
    record.set_gid(file.st_gid);
  }
  if (what.kind == MemoryObject::MEMFD) {
    uint32_t seals = PD_TRY(kernel::memfd_seals(entry.content));
    record.set_seals(seals);
    // Without MFD_ALLOW_SEALING a memfd starts with F_SEAL_SEAL and can never get another.
    bool sealing = seals != F_SEAL_SEAL;
    record.set_memfd_flags(sealing ? MFD_ALLOW_SEALING : 0);
  }
  entries_.emplace(id, std::move(entry));
  return id;
}

Result<int64_t> MemoryObjects::file_system(const struct stat& file, const std::string& proc_path) {
  auto found = file_systems_.find(file.st_dev);
  if (found != file_systems_.end()) return found->second;
  int64_t type = PD_TRY(kernel::file_system_of(proc_path));
  file_systems_.emplace(file.st_dev, type);
  return type;
}

}  // namespace perdure::capture
