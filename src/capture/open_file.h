// OpenFileTable: the open file descriptions that a capture has met, each once, with a duplicate of
// our own to ask it questions. Two descriptors are one description if kcmp(2) says so; only
// descriptors of one inode are compared, by binary search in the kernel's order.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "kernel/file_images.h"
#include "kernel/proc/fdinfo.h"
#include "object/file.pb.h"

namespace perdure::capture {

// A descriptor of the group that leads to a description.
struct FileUser {
  size_t member = 0;  // index
  int fd = -1;
};

struct OpenFileEntry {
  ObjectId id;
  Fd duplicate;       // invalid: of this one an image and others' answers told enough so far
  uint64_t seen = 0;  // kernel::FileImage::file; 0: there is no image
  const kernel::FileImage* image = nullptr;  // of its first user
  bool by_image = false;  // which told that nobody gets its signals, and that it has no filter
  pid_t holder =
      0;  // a process in whose table it is, in our PID namespace: ourselves for one in flight
  int holder_fd = -1;
  std::string where;  // "process 7 (redis-server) fd 5", for messages
  std::string link;   // what /proc/PID/fd/N says
  struct stat file = {};
  kernel::proc::Fdinfo info;
  std::vector<FileUser> users;
  object::OpenFile record;

  uint32_t flags() const { return info.flags; }
  bool readable() const;
  bool writable() const;
  // 0, 1 or 2 if some process has it as that standard stream.
  std::optional<int> standard_number() const;
  std::string proc_path() const;  // /proc/PID/fd/N, which open(2) and stat(2) follow to the file
};

// "WHERE (LINK): WHAT cannot be saved", kUnsupported; without the link if what has it.
Error refuse(const OpenFileEntry& entry, std::string_view what, std::string remedy);

// Where a descriptor was found.
struct FoundDescriptor {
  pid_t pid = 0;
  int fd = -1;
  int pidfd = -1;  // -1: it is our own
  std::string where;
};

class OpenFileTable {
 public:
  struct Added {
    OpenFileEntry* entry = nullptr;
    bool is_new = false;
    kernel::proc::Fdinfo info;  // of this descriptor: its close-on-exec bit and locks
  };
  Result<Added> add(const FoundDescriptor& found);
  // A description that is not there yet and needs no duplicate. link: what /proc/PID/fd/N says.
  Result<OpenFileEntry*> add_seen(const FoundDescriptor& found, const kernel::FileImage& image,
                                  const struct stat& file, std::string link);

  std::deque<OpenFileEntry>& entries() { return entries_; }
  // The descriptions of one inode.
  std::vector<OpenFileEntry*> with_inode(dev_t device, ino_t inode);

 private:
  Result<OpenFileEntry*> create(const FoundDescriptor& found, Fd duplicate, const struct stat& file,
                                const kernel::proc::Fdinfo& info);
  // Where it belongs among those of its inode, or which one it is.
  struct Place {
    OpenFileEntry* same = nullptr;
    size_t at = 0;
  };
  Result<Place> find_place(const FoundDescriptor& found,
                           const std::vector<OpenFileEntry*>& same_inode) const;
  std::deque<OpenFileEntry> entries_;  // grows while pointers are held
  std::map<std::pair<dev_t, ino_t>, std::vector<OpenFileEntry*>>
      by_inode_;  // each in the kernel's order
};

}  // namespace perdure::capture
