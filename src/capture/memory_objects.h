// MemoryObjects: the memory of a group that lives in files without a lasting name (memfd, shared
// anonymous memory, POSIX and SysV shared memory, deleted files): each found once, however many
// mappings and descriptors lead to it. Made anew for each checkpoint: it holds a descriptor per
// object for reading the content. Those keep no pipe, socket or lock alive; still, clear it when
// the contents were read.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "object/id_table.h"
#include "object/memory.pb.h"

namespace perdure::capture {

struct MemoryEntry {
  ObjectId id;
  object::MemoryObject record;
  Fd content;  // O_RDONLY; pages are read with memory::SharedTracker::scan(content.get(),
               // record.size(), sink)
};

class MemoryObjects {
 public:
  explicit MemoryObjects(object::IdTable& ids) : ids_(&ids) {}

  // tmpfs files that have a name become POSIX_SHM with kAsMemory, and are ordinary files with
  // kAsFile.
  enum class Tmpfs : uint8_t { kAsMemory, kAsFile };
  // If the file behind proc_path is a memory object, finds or adds it; 0 (none) if it is an
  // ordinary file with a name, or no regular file at all. proc_path: "/proc/PID/fd/N" or
  // "/proc/PID/map_files/START-END", or any path that open(2) follows to it. link: what readlink(2)
  // says there (with or without its " (deleted)"), or the path of maps. kUnsupported for hugetlbfs,
  // secretmem and the like says what kind it is; the caller adds pid, fd or range, and path.
  Result<ObjectId> add(const std::string& proc_path, std::string_view link, Tmpfs tmpfs);
  // As above for a file that was looked at already.
  Result<ObjectId> add_seen(const struct stat& file, const std::string& proc_path,
                            std::string_view link, Tmpfs tmpfs);
  // As above for a descriptor that the engine holds (a duplicate); it is not kept.
  Result<ObjectId> add_fd(int fd, std::string_view link, Tmpfs tmpfs);
  // A regular file whose name leads elsewhere or nowhere now, though it may have others: saved as
  // DELETED_FILE.
  Result<ObjectId> add_unreachable(const std::string& proc_path, std::string_view link);

  // The f_type (statfs(2)) of the file system of a file, asked for once per file system.
  Result<int64_t> file_system(const struct stat& file, const std::string& proc_path);
  void know_file_system(dev_t device, int64_t type) { file_systems_.emplace(device, type); }

  const MemoryEntry* find(ObjectId id) const;
  // In the order of their ids.
  const std::map<ObjectId, MemoryEntry>& entries() const { return entries_; }
  void clear();

 private:
  // What a file is: a kind with the name it goes by.
  struct Class {
    object::MemoryObject::Kind kind;
    std::string name;
  };
  Result<std::optional<Class>> classify(const struct stat& file, const std::string& proc_path,
                                        std::string_view link, Tmpfs tmpfs);
  Result<ObjectId> insert(const struct stat& file, const std::string& proc_path, const Class& what);

  object::IdTable* ids_;
  std::map<ObjectId, MemoryEntry> entries_;
  std::map<uint64_t, int64_t> file_systems_;  // f_type by st_dev
};

}  // namespace perdure::capture
