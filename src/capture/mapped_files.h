// MappedFiles: an OpenFile record for each file that is mapped in a group ("file:DEV:INO"), whoever
// maps it. A record has flags O_RDWR if a shared mapping of it is or can become writable, else
// O_RDONLY, and offset 0. A private mapping of a memory object has a record too: kind memfd, or
// regular with `deleted` and `content`. The records are of one checkpoint. Files that nobody writes
// through their mappings are looked at before the group stops (look_again) and taken as they were
// then.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "capture/file_identity.h"
#include "capture/memory_objects.h"
#include "kernel/proc/maps.h"
#include "object/file.pb.h"
#include "object/id_table.h"

namespace perdure::capture {

// What is behind a mapping that has a path.
struct Backing {
  enum class Kind : uint8_t {
    kFile,        // id: an OpenFile record
    kMemory,      // id: a MemoryObject record
    kDeviceZero,  // private /dev/zero: anonymous memory in all but name
  };
  Kind kind = Kind::kFile;
  ObjectId id;
};

class MappedFiles {
 public:
  // checksums: of files that did not change since the last checkpoint; borrowed, may be null.
  explicit MappedFiles(object::IdTable& ids, ChecksumCache* checksums = nullptr)
      : ids_(&ids), checksums_(checksums) {}

  // entry has its flags and is a mapping of pid that has a path. kUnsupported says what kind it is,
  // not where.
  Result<Backing> add(pid_t pid, const kernel::proc::MapsEntry& entry, MemoryObjects& objects);
  const std::map<ObjectId, object::OpenFile>& records() const { return records_; }
  // The records, which are not here afterwards.
  std::map<ObjectId, object::OpenFile> take_records() { return std::move(records_); }
  // Adds the records of these mappings from what is remembered of their files; false if something
  // is not remembered, or was forgotten because it changed. entries: of private mappings of files.
  bool add_remembered(std::span<const kernel::proc::MapsEntry> entries);
  bool remembers(const kernel::proc::MapsEntry& entry) const;
  // Forgets the records, for the next checkpoint.
  void reset();
  // Looks at files behind private mappings that are not remembered yet, while the group runs.
  void look_ahead(pid_t pid, std::span<const kernel::proc::MapsEntry> entries);
  // Looks again at the files that are remembered, and forgets those that changed; while the group
  // runs, so that its stop need not.
  void look_again();

 private:
  using Key = std::tuple<uint64_t, uint64_t, std::string, bool>;  // device, inode, path, shared
  struct Remembered {
    Backing backing;
    object::OpenFile record;
    struct stat file;
    std::string path;
    pid_t pid;
    std::string proc_path;
    bool used = true;  // by the last checkpoint
  };
  struct BuildId {
    int64_t mtime_ns = 0;
    std::string bytes;
  };

  static Key key_of(const kernel::proc::MapsEntry& entry) {
    return {entry.device, entry.inode, entry.path, entry.shared};
  }
  Result<Backing> resolve(const Key& key, pid_t pid, const kernel::proc::MapsEntry& entry,
                          MemoryObjects& objects);
  static const Fd* root_of(pid_t pid, std::map<pid_t, Fd>* roots);
  bool is_as_before(Remembered& known, std::map<pid_t, Fd>* roots);
  bool take_remembered(const Key& key, Backing* backing);
  void remember(const Key& key, pid_t pid, const std::string& proc_path, const std::string& path,
                const struct stat& file, const Backing& backing);
  Result<ObjectId> add_regular(pid_t pid, const struct stat& file, const std::string& path,
                               const kernel::proc::MapsEntry& entry, MemoryObjects& objects);
  bool has_plain_root(pid_t pid);
  bool name_leads_to(pid_t pid, const std::string& path, const struct stat& file);
  ObjectId add_unnamed(const struct stat& file, const std::string& path,
                       const MemoryEntry& content);
  Status note_writable(ObjectId id, const std::string& proc_path);
  Result<std::string> build_id(const std::string& proc_path, const struct stat& file);

  object::IdTable* ids_;
  ChecksumCache* checksums_;
  std::map<Key, Backing> resolved_;
  std::map<ObjectId, object::OpenFile> records_;
  std::map<Key, Remembered> remembered_;
  std::map<pid_t, bool>
      plain_root_;  // whether the root of a process is that of its mount namespace
  std::map<std::pair<uint64_t, uint64_t>, BuildId> build_ids_;
};

}  // namespace perdure::capture
