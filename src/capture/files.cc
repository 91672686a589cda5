#include "capture/files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/assert.h"
#include "capture/file_kinds.h"
#include "capture/unix_queue.h"
#include "kernel/file.h"
#include "kernel/proc/read.h"
#include "kernel/proc/status.h"
#include "kernel/pty.h"
#include "kernel/socket.h"
#include "kernel/timerfd.h"

namespace perdure::capture {
namespace {

// What the engine itself has open at most, memory objects aside.
constexpr size_t kOwnDescriptors = 256;
constexpr std::string_view kAnonymous = "anon_inode:";

std::string name_of(const Member& member) {
  return "pid " + std::to_string(member.group_pid) + " (" + member.comm + ")";
}

std::string where(const Member& member, int fd) {
  return name_of(member) + " fd " + std::to_string(fd);
}

// ---- which descriptions there are

// Of its id.
std::string key_of(const FileContext& context, size_t index, int fd) {
  return "ofd:" + std::to_string(context.members[index].group_pid) + ":" + std::to_string(fd);
}

Result<OpenFileEntry*> collect_descriptor(FileContext& context, size_t index, int fd) {
  const Member& member = context.members[index];
  const OpenFileTable::Added added =
      PD_TRY(context.table.add({member.pid, fd, member.pidfd, where(member, fd)}));
  OpenFileEntry& entry = *added.entry;
  if (added.is_new) {
    entry.id = context.ids.id_of(key_of(context, index, fd));
  }
  entry.users.push_back({index, fd});
  context.out.processes[index].fds.push_back({fd, entry.id, (added.info.flags & O_CLOEXEC) != 0});
  PD_TRY(capture_locks(context, index, fd, entry, added.info));
  return &entry;
}

// File systems whose statfs(2) gives what their super block has.
bool tells_its_type(uint64_t magic) {
  return magic == TMPFS_MAGIC || magic == EXT4_SUPER_MAGIC || magic == BTRFS_SUPER_MAGIC ||
         magic == XFS_SUPER_MAGIC;
}

// What the image of a descriptor, and a look at its path, tell is all that is needed of it; null:
// ask.
Result<OpenFileEntry*> add_by_image(FileContext& context, size_t index,
                                    const kernel::FileImage& image) {
  const Member& member = context.members[index];
  const FoundDescriptor found = {member.pid, image.fd, member.pidfd, where(member, image.fd)};
  if (image.owned || image.locks || (image.flags & O_PATH) != 0) return nullptr;
  if (is_plain_connection(context, image)) {
    struct stat file = {};
    file.st_dev = image.device;
    file.st_ino = image.inode;
    file.st_mode = image.mode;
    return context.table.add_seen(found, image, file,
                                  "socket:[" + std::to_string(image.inode) + "]");
  }
  const std::string* const link = context.memo.known.link_of(image.file);
  const bool named =
      S_ISREG(image.mode) || (S_ISCHR(image.mode) && is_stateless_device(image.special));
  if (link == nullptr || !named) return nullptr;
  const struct stat* file =
      context.paths.find("/proc/" + std::to_string(member.pid) + "/root" + *link);
  const bool same = file != nullptr && file->st_dev == image.device &&
                    file->st_ino == image.inode && file->st_rdev == image.special;
  if (!same) return nullptr;
  if (tells_its_type(image.magic))
    context.memory.know_file_system(file->st_dev, static_cast<int64_t>(image.magic));
  return context.table.add_seen(found, image, *file, *link);
}

void add_user(FileContext& context, size_t index, const kernel::FileImage& image,
              const SeenFile& file) {
  if (file.entry != nullptr) file.entry->users.push_back({index, image.fd});
  context.out.processes[index].fds.push_back({image.fd, file.id, image.close_on_exec});
}

// One whose record holds is not looked at, unless something that was in flight turns out to be it.
bool take_known(FileContext& context, size_t index, const kernel::FileImage& image) {
  if (!S_ISREG(image.mode) || !context.all_seen) return false;
  KnownFiles& known = context.memo.known;
  KnownFiles::File* const file = known.find(image, context.members[index].pid, &context.paths);
  if (file == nullptr) return false;
  const ObjectId id = context.ids.id_of(file->key());
  context.out.files.emplace_hint(context.out.files.end(), id, known.lend(file, id, image.position));
  context.out.versions.emplace_back(id, file->version());
  const SeenFile seen = {id, nullptr};
  context.seen.emplace(image.file, seen);
  context.taken.push_back({index, &image});
  add_user(context, index, image, seen);
  return true;
}

Status collect_image(FileContext& context, size_t index, const kernel::FileImage& image) {
  const auto seen = context.seen.find(image.file);
  if (seen != context.seen.end() && !image.locks) {
    add_user(context, index, image, seen->second);
    return {};
  }
  if (take_known(context, index, image)) return {};
  OpenFileEntry* entry = PD_TRY(add_by_image(context, index, image));
  if (entry != nullptr) {
    entry->id = context.ids.id_of(key_of(context, index, image.fd));
    entry->image = &image;
    add_user(context, index, image, {entry->id, entry});
  } else {
    entry = PD_TRY(collect_descriptor(context, index, image.fd));
    entry->seen = image.file;
  }
  context.seen.emplace(image.file, SeenFile{entry->id, entry});
  return {};
}

bool is_entry_of(const Descriptor& descriptor, const object::FdEntry& entry) {
  return entry.fd() == descriptor.fd && entry.file() == descriptor.file.value &&
         entry.close_on_exec() == descriptor.close_on_exec;
}

// All descriptors of a process by their images; nothing if there are none.
std::vector<kernel::FileImage> images_of(const FileContext& context, size_t index) {
  if (context.options.images == nullptr) return {};
  const auto look = context.options.images->look(context.members[index].pid);
  if (!look.ok()) return {};
  return {look->begin(), look->end()};
}

Status check_threads(const Member& member) {
  for (const pid_t tid : PD_TRY(kernel::proc::threads_of(member.pid))) {
    if (tid == member.pid || PD_TRY(kernel::compare_tables(member.pid, tid)) == 0) continue;
    return Error(Code::kUnsupported,
                 name_of(member) + ": a thread with descriptors of its own cannot be saved")
        .with_remedy("unshare(CLONE_FILES) in a thread is not supported");
  }
  return {};
}

// A restored process has one table for all its threads, and no other process has the same.
Status check_tables(const FileContext& context) {
  std::vector<const Member*> ordered;
  for (const Member& member : context.members) {
    if (!member.one_table) PD_TRY(check_threads(member));
    size_t low = 0;
    size_t high = ordered.size();
    while (low < high) {
      const size_t middle = (low + high) / 2;
      const int order = PD_TRY(kernel::compare_tables(member.pid, ordered[middle]->pid));
      if (order == 0) {
        return Error(Code::kUnsupported, name_of(member) + " shares its descriptor table with " +
                                             name_of(*ordered[middle]) + ", which cannot be saved")
            .with_remedy("processes made by clone(CLONE_FILES) are not supported");
      }
      if (order < 0) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    ordered.insert(ordered.begin() + static_cast<ptrdiff_t>(low), &member);
  }
  return {};
}

// Each description may have a duplicate here until the return.
void make_room(FileContext& context, size_t descriptors) {
  if (context.memo.descriptor_limit == 0)
    context.memo.descriptor_limit = kernel::descriptor_limit();
  if (descriptors + kOwnDescriptors <= context.memo.descriptor_limit) return;
  kernel::raise_descriptor_limit();
  context.memo.descriptor_limit = kernel::descriptor_limit();
}

void note_unix_sockets(FileContext& context, std::span<const kernel::FileImage> images) {
  for (const kernel::FileImage& image : images) {
    if (!S_ISSOCK(image.mode) || image.family != AF_UNIX) continue;
    if (image.unix_stream) {
      context.known_unix_sockets.emplace(static_cast<uint32_t>(image.inode), *image.unix_stream);
    } else {
      ++context.sockets;
    }
  }
}

Status collect(FileContext& context) {
  context.out.processes.resize(context.members.size());
  std::vector<std::vector<kernel::FileImage>>& images = context.images;
  images.resize(context.members.size());
  size_t descriptors = 0;
  for (size_t i = 0; i < context.members.size(); ++i) {
    images[i] = images_of(context, i);
    descriptors += images[i].size();
    note_unix_sockets(context, images[i]);
    context.all_seen = context.all_seen && !images[i].empty();
  }
  context.seen.reserve(descriptors);
  make_room(context, descriptors);
  PD_TRY(prepare_unix_sockets(context));
  for (size_t i = 0; i < context.members.size(); ++i) {
    for (const kernel::FileImage& image : images[i]) PD_TRY(collect_image(context, i, image));
    if (!images[i].empty()) continue;
    const std::vector<pid_t> numbers =
        PD_TRY(kernel::proc::list_numbers(kernel::proc::path_of(context.members[i].pid, "fd")));
    descriptors += numbers.size();
    make_room(context, descriptors);
    for (const int fd : numbers) PD_TRY(collect_descriptor(context, i, fd));
  }
  return check_tables(context);
}

// ---- what each of them is

Status capture_anonymous(FileContext& context, OpenFileEntry& entry) {
  const std::string_view name = std::string_view(entry.link).substr(kAnonymous.size());
  if (name == "[eventfd]") return capture_eventfd(context, entry);
  if (name == "[eventpoll]") return capture_epoll(context, entry);
  if (name == "[timerfd]") return capture_timerfd(context, entry);
  if (name == "[signalfd]") return capture_signalfd(context, entry);
  return refuse(entry, entry.link, "let the program close it");
}

Status capture_socket(FileContext& context, OpenFileEntry& entry) {
  if (context.known_unix_sockets.contains(static_cast<uint32_t>(entry.file.st_ino)))
    return capture_unix_socket(context, entry);
  const int domain = PD_TRY_WITHIN(
      entry.where, kernel::socket_option_int(entry.duplicate.get(), SOL_SOCKET, SO_DOMAIN));
  return domain == AF_UNIX ? capture_unix_socket(context, entry)
                           : capture_inet_socket(context, entry);
}

Status capture_character_device(FileContext& context, OpenFileEntry& entry) {
  const dev_t number = entry.file.st_rdev;
  if (kernel::is_pty_master(number)) return capture_pty_master(context, entry);
  if (is_stateless_device(number)) return capture_device(context, entry);
  return ::isatty(entry.duplicate.get()) == 1 ? capture_terminal(context, entry)
                                              : capture_device(context, entry);
}

Status capture_by_type(FileContext& context, OpenFileEntry& entry) {
  if ((entry.flags() & O_PATH) != 0) return capture_path_only(context, entry);
  if (entry.link.compare(0, kAnonymous.size(), kAnonymous) == 0) {
    return capture_anonymous(context, entry);
  }
  switch (entry.file.st_mode & S_IFMT) {
    case S_IFREG:
      return capture_regular_file(context, entry);
    case S_IFDIR:
      return capture_directory(context, entry);
    case S_IFIFO:
      return capture_pipe(context, entry);
    case S_IFSOCK:
      return capture_socket(context, entry);
    case S_IFCHR:
      return capture_character_device(context, entry);
    default:
      return capture_device(context, entry);
  }
}

// The id that a process group or process outside of our numbering has inside the group's.
Result<pid_t> owner_inside(const FileContext& context, const OpenFileEntry& entry,
                           const kernel::FileOwner& owner) {
  for (const Member& member : context.members) {
    if (member.pid == owner.id && owner.type != F_OWNER_TID) return member.group_pid;
  }
  const auto status = kernel::proc::read_status(owner.id);
  if (status.ok() && owner.type == F_OWNER_TID && context.is_member(status->tgid)) {
    return status->inner_pid();
  }
  for (const Member& member : context.members) {
    const auto inside = kernel::proc::read_status(member.pid);
    if (owner.type != F_OWNER_PGRP || !inside.ok() || inside->ns_process_group.empty()) continue;
    if (inside->ns_process_group.front() == owner.id) return inside->inner_process_group();
  }
  // The owner has died or is outside: nobody in the group gets signals.
  (void)entry;
  return pid_t{0};
}

Status capture_owner(const FileContext& context, OpenFileEntry& entry) {
  if ((entry.flags() & O_PATH) != 0 || entry.by_image) return {};
  const kernel::FileOwner owner =
      PD_TRY_WITHIN(entry.where, kernel::file_owner(entry.duplicate.get()));
  entry.record.set_owner_signal(owner.signal);
  if (owner.id == 0) return {};
  entry.record.set_owner_type(owner.type);
  entry.record.set_owner_pid(PD_TRY(owner_inside(context, entry, owner)));
  return {};
}

bool is_unknown_socket(const FileContext& context, const OpenFileEntry& entry) {
  return S_ISSOCK(entry.file.st_mode) && (entry.flags() & O_PATH) == 0 &&
         !context.known_unix_sockets.contains(static_cast<uint32_t>(entry.file.st_ino));
}

// The table grows while sockets show what is in flight.
Status classify(FileContext& context) {
  if (!context.asked_all) {
    context.sockets = static_cast<size_t>(std::count_if(
        context.table.entries().begin(), context.table.entries().end(),
        [&context](const OpenFileEntry& entry) { return is_unknown_socket(context, entry); }));
    PD_TRY(prepare_unix_sockets(context));
  }
  for (size_t i = 0; i < context.table.entries().size(); ++i) {
    OpenFileEntry& entry = context.table.entries()[i];
    entry.record.set_flags(entry.flags());
    PD_TRY(capture_by_type(context, entry));
    PD_TRY(capture_owner(context, entry));
  }
  return {};
}

Status relate(FileContext& context) {
  PD_TRY(relate_pipes(context));
  PD_TRY(relate_ptys(context));
  PD_TRY(relate_unix_sockets(context));
  PD_TRY(resolve_outside(context));
  return relate_epolls(context);
}

Status read_contents(FileContext& context) {
  PD_TRY(read_pipes(context));
  PD_TRY(requeue_empty_messages(context));
  return read_ptys(context);
}

void keep_known(FileContext& context, const OpenFileEntry& entry) {
  const FileUser& first = entry.users.front();
  const KnownFiles::File* const kept =
      context.memo.known.keep(*entry.image, entry.holder, entry.id,
                              key_of(context, first.member, first.fd), &context.paths);
  if (kept != nullptr) context.out.versions.emplace_back(entry.id, kept->version());
}

}  // namespace

Status FileContext::look_at_taken(const struct stat& file) {
  for (TakenFile& one : taken) {
    if (one.image == nullptr || one.image->device != file.st_dev || one.image->inode != file.st_ino)
      continue;
    const kernel::FileImage& image = *std::exchange(one.image, nullptr);
    const Member& member = members[one.member];
    const OpenFileTable::Added added =
        PD_TRY(table.add({member.pid, image.fd, member.pidfd, where(member, image.fd)}));
    SeenFile& known = seen.at(image.file);
    added.entry->id = known.id;
    added.entry->users.push_back({one.member, image.fd});
    known.entry = added.entry;
  }
  return {};
}

Result<ObjectId> FileContext::add_in_flight(Fd file, const OpenFileEntry& carrier) {
  const struct stat status = PD_TRY(kernel::stat_fd(file.get()));
  PD_TRY(look_at_taken(status));
  const std::string place = carrier.where + ", in flight";
  const OpenFileTable::Added added = PD_TRY(table.add({::getpid(), file.get(), -1, place}));
  OpenFileEntry& entry = *added.entry;
  if (added.is_new) {
    // `file` is closed on return; the table's own duplicate is where the description can be found.
    entry.holder_fd = entry.duplicate.get();
    entry.id = ids.id_of("flight:" + std::to_string(carrier.file.st_ino) + ":" +
                         std::to_string(in_flight++));
  }
  return entry.id;
}

Status FileContext::hold(OpenFileEntry& entry) const {
  if (entry.duplicate.valid()) return {};
  for (const Member& member : members) {
    if (member.pid != entry.holder) continue;
    entry.duplicate =
        PD_TRY_WITHIN(entry.where, kernel::pidfd_getfd(member.pidfd, entry.holder_fd));
    return {};
  }
  PD_ASSERT(false);
  return {};
}

bool FileContext::is_member(pid_t pid) const {
  return std::any_of(members.begin(), members.end(),
                     [pid](const Member& member) { return member.pid == pid; });
}

bool put_files(const ProcessFiles& files, object::Process* record) {
  const bool same_fds = std::equal(files.fds.begin(), files.fds.end(), record->fds().begin(),
                                   record->fds().end(), is_entry_of);
  if (!same_fds) {
    record->clear_fds();
    for (const Descriptor& descriptor : files.fds) {
      object::FdEntry* entry = record->add_fds();
      entry->set_fd(descriptor.fd);
      entry->set_file(descriptor.file.value);
      entry->set_close_on_exec(descriptor.close_on_exec);
    }
  }
  const bool same_locks = std::equal(files.locks.begin(), files.locks.end(),
                                     record->locks().begin(), record->locks().end(), is_same_lock);
  if (!same_locks) *record->mutable_locks() = {files.locks.begin(), files.locks.end()};
  return !same_fds || !same_locks;
}

Result<FileCapture> capture_files(std::span<const Member> members, object::IdTable& ids,
                                  MemoryObjects& memory, const FileOptions& options) {
  FileMemo own_memo;
  FileContext context = {members, ids, memory, options,
                         options.memo != nullptr ? *options.memo : own_memo};
  if (members.empty()) return std::move(context.out);
  KnownFiles& known = context.memo.known;
  if (std::exchange(context.memo.checksums, options.checksum_files) != options.checksum_files)
    known.forget();
  known.begin(static_cast<int64_t>(PD_TRY(kernel::realtime_ns())));
  PD_TRY(collect(context));
  PD_TRY(classify(context));
  PD_TRY(relate(context));
  PD_TRY(read_contents(context));
  for (OpenFileEntry& entry : context.table.entries()) {
    const bool named = entry.record.has_device() ||
                       (entry.record.has_regular() && !entry.record.regular().deleted());
    if (entry.seen != 0 && named) known.note(entry.seen, entry.link);
    if (entry.by_image && named && entry.record.has_regular()) keep_known(context, entry);
    context.out.files.emplace(entry.id, std::move(entry.record));
  }
  known.end();
  return std::move(context.out);
}

}  // namespace perdure::capture
