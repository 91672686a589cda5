// epoll(7): the watches, as fdinfo lists them. A watch belongs to a description and the number that
// it was added under; the number may since be closed or lead elsewhere, so the description is found
// through kcmp(2).
#include <sys/sysmacros.h>

#include "capture/file_kinds.h"
#include "kernel/file.h"

namespace perdure::capture {
namespace {

// fdinfo gives s_dev as the kernel keeps it (MKDEV of linux/kdev_t.h).
dev_t device_of(const kernel::proc::FdinfoWatch& watch) {
  return makedev(watch.device >> 20, watch.device & 0xfffff);
}

std::vector<OpenFileEntry*> candidates_for(FileContext& context,
                                           const kernel::proc::FdinfoWatch& watch) {
  std::vector<OpenFileEntry*> found = context.table.with_inode(device_of(watch), watch.inode);
  if (!found.empty()) return found;
  // stat(2) shows another device than the kernel's own on btrfs and overlayfs.
  for (OpenFileEntry& entry : context.table.entries()) {
    if (entry.file.st_ino == watch.inode) found.push_back(&entry);
  }
  return found;
}

bool uses_number(const OpenFileEntry& entry, int fd) {
  for (const FileUser& user : entry.users) {
    if (user.fd == fd) return true;
  }
  return false;
}

Result<OpenFileEntry*> find_target(FileContext& context, const OpenFileEntry& epoll,
                                   const kernel::proc::FdinfoWatch& watch, uint32_t place) {
  const std::vector<OpenFileEntry*> candidates = candidates_for(context, watch);
  // A socket has one description only.
  if (candidates.size() == 1 && S_ISSOCK(candidates[0]->file.st_mode)) return candidates[0];
  const kernel::EpollSlot slot = {epoll.holder_fd, watch.fd, place};
  for (const bool same_number : {true, false}) {
    for (OpenFileEntry* entry : candidates) {
      if (uses_number(*entry, watch.fd) != same_number) continue;
      if (PD_TRY(kernel::is_epoll_target(entry->holder, entry->holder_fd, epoll.holder, slot))) {
        return entry;
      }
    }
  }
  return refuse(epoll,
                "epoll watch of fd " + std::to_string(watch.fd) +
                    ", a file that no process of the group has open any more,",
                "let the program remove the watch");
}

Status relate_epoll(FileContext& context, OpenFileEntry& epoll) {
  std::map<int, uint32_t> places;  // entries of one number are told apart by their order
  for (const kernel::proc::FdinfoWatch& watch : epoll.info.watches) {
    const OpenFileEntry* target = PD_TRY(find_target(context, epoll, watch, places[watch.fd]++));
    object::EpollWatch* record = epoll.record.mutable_epoll()->add_watches();
    record->set_fd(watch.fd);
    record->set_events(watch.events);
    record->set_data(watch.data);
    record->set_file(target->id.value);
    if (!epoll.users.empty()) {
      record->set_owner_pid(context.members[epoll.users[0].member].group_pid);
    }
  }
  return {};
}

}  // namespace

Status capture_epoll(FileContext& context, OpenFileEntry& entry) {
  entry.record.mutable_epoll();
  context.epolls.push_back(&entry);
  return {};
}

Status relate_epolls(FileContext& context) {
  for (OpenFileEntry* epoll : context.epolls) PD_TRY(relate_epoll(context, *epoll));
  return {};
}

}  // namespace perdure::capture
