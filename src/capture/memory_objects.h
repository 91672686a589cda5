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
#include <utility>
#include <vector>

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

// Which memory object, if any, a file is.
struct MemoryClass {
  object::MemoryObject::Kind kind;
  std::string name;
};

class MemoryObjects {
 public:
  explicit MemoryObjects(object::IdTable& ids) : ids_(&ids) {}

  // If the file behind proc_path is a memory object, finds or adds it; 0 (none) if it is an
  // ordinary file with a name. proc_path: "/proc/PID/fd/N" or "/proc/PID/map_files/START-END", or
  // any path that open(2) follows to it. link: what readlink(2) says there (with its " (deleted)"),
  // or the path of maps. kUnsupported for hugetlbfs and secretmem, named by `link`; the caller adds
  // pid and fd or range. tmpfs files that have a name become POSIX_SHM with Tmpfs::kAsMemory, and
  // are ordinary files with kAsFile.
  enum class Tmpfs : uint8_t { kAsMemory, kAsFile };
  Result<ObjectId> add(const std::string& proc_path, std::string_view link, Tmpfs tmpfs);
  // As above for a descriptor that the engine holds (a duplicate); it is not kept.
  Result<ObjectId> add_fd(int fd, std::string_view link, Tmpfs tmpfs);

  const MemoryEntry* find(ObjectId id) const;
  // In the order of their ids.
  const std::map<ObjectId, MemoryEntry>& entries() const { return entries_; }
  void clear();

 private:
  Result<std::optional<MemoryClass>> classify(const struct stat& file, std::string_view link,
                                              int fd, Tmpfs tmpfs) const;
  object::IdTable* ids_;
  std::map<ObjectId, MemoryEntry> entries_;
  std::map<std::string, ObjectId> by_key_;
};

}  // namespace perdure::capture
