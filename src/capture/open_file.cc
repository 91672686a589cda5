#include "capture/open_file.h"

#include <fcntl.h>

#include <algorithm>

#include "base/assert.h"
#include "kernel/file.h"
#include "kernel/proc/read.h"

namespace perdure::capture {

bool OpenFileEntry::readable() const {
  return (flags() & O_PATH) == 0 && (flags() & O_ACCMODE) != O_WRONLY;
}

bool OpenFileEntry::writable() const {
  return (flags() & O_PATH) == 0 && (flags() & O_ACCMODE) != O_RDONLY;
}

std::optional<int> OpenFileEntry::standard_number() const {
  std::optional<int> number;
  for (const FileUser& user : users) {
    if (user.fd <= 2 && (!number || user.fd < *number)) number = user.fd;
  }
  return number;
}

std::string OpenFileEntry::proc_path() const { return kernel::path_of_fd(holder, holder_fd); }

Error refuse(const OpenFileEntry& entry, std::string_view what, std::string remedy) {
  std::string message = entry.where;
  if (what.find(entry.link) == std::string_view::npos) message.append(" (" + entry.link + ")");
  message.append(": ").append(what).append(" cannot be saved");
  return Error(Code::kUnsupported, std::move(message)).with_remedy(std::move(remedy));
}

Result<OpenFileTable::Added> OpenFileTable::add(const FoundDescriptor& found) {
  // fstat(2) of a duplicate takes a fifth of the way by the name in /proc.
  Fd duplicate = found.pidfd >= 0 ? PD_TRY(kernel::pidfd_getfd(found.pidfd, found.fd))
                                  : PD_TRY(kernel::duplicate_above(found.fd, 3));
  const struct stat file = PD_TRY(kernel::stat_fd(duplicate.get()));
  Added added;
  added.info = PD_TRY(kernel::proc::read_fdinfo(found.pid, found.fd));
  std::vector<OpenFileEntry*>& same_inode = by_inode_[{file.st_dev, file.st_ino}];
  const Place place = PD_TRY(find_place(found, same_inode));
  added.entry = place.same;
  if (added.entry != nullptr) return added;
  added.entry = PD_TRY_WITHIN(found.where, create(found, std::move(duplicate), file, added.info));
  added.is_new = true;
  same_inode.insert(same_inode.begin() + static_cast<ptrdiff_t>(place.at), added.entry);
  return added;
}

Result<OpenFileEntry*> OpenFileTable::add_seen(const FoundDescriptor& found,
                                               const kernel::FileImage& image,
                                               const struct stat& file, std::string link) {
  std::vector<OpenFileEntry*>& same_inode = by_inode_[{file.st_dev, file.st_ino}];
  const Place place = PD_TRY(find_place(found, same_inode));
  PD_ASSERT(place.same == nullptr);
  OpenFileEntry& entry = entries_.emplace_back();
  entry.seen = image.file;
  entry.by_image = true;
  entry.holder = found.pid;
  entry.holder_fd = found.fd;
  entry.where = found.where;
  entry.link = std::move(link);
  entry.file = file;
  entry.info.flags = image.flags;
  entry.info.position = image.position;
  same_inode.insert(same_inode.begin() + static_cast<ptrdiff_t>(place.at), &entry);
  return &entry;
}

Result<OpenFileTable::Place> OpenFileTable::find_place(
    const FoundDescriptor& found, const std::vector<OpenFileEntry*>& same_inode) const {
  size_t low = 0;
  size_t high = same_inode.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    OpenFileEntry* other = same_inode[middle];
    const int order =
        PD_TRY(kernel::compare_files(found.pid, found.fd, other->holder, other->holder_fd));
    if (order == 0) return Place{other, middle};
    if (order < 0) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return Place{nullptr, low};
}

Result<OpenFileEntry*> OpenFileTable::create(const FoundDescriptor& found, Fd duplicate,
                                             const struct stat& file,
                                             const kernel::proc::Fdinfo& info) {
  OpenFileEntry entry;
  entry.duplicate = std::move(duplicate);
  entry.holder = found.pid;
  entry.holder_fd = found.fd;
  entry.where = found.where;
  entry.file = file;
  entry.info = info;
  entry.info.flags &= ~static_cast<uint32_t>(O_CLOEXEC);
  // What the link of a socket says is known: sockfs_dname in net/socket.c.
  const bool socket = S_ISSOCK(file.st_mode) && (info.flags & O_PATH) == 0;
  entry.link = socket ? "socket:[" + std::to_string(file.st_ino) + "]"
                      : PD_TRY(kernel::proc::read_link(kernel::path_of_fd(found.pid, found.fd)));
  entries_.push_back(std::move(entry));
  return &entries_.back();
}

std::vector<OpenFileEntry*> OpenFileTable::with_inode(dev_t device, ino_t inode) {
  const auto found = by_inode_.find({device, inode});
  return found == by_inode_.end() ? std::vector<OpenFileEntry*>() : found->second;
}

}  // namespace perdure::capture
