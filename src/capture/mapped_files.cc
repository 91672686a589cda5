#include "capture/mapped_files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <cinttypes>
#include <cstdio>
#include <utility>

#include "capture/build_id.h"
#include "kernel/file.h"
#include "kernel/proc/read.h"

namespace perdure::capture {
namespace {

using kernel::proc::MapsEntry;
using kernel::proc::VmFlag;

constexpr std::string_view kDeletedSuffix = " (deleted)";

std::string map_files_path(pid_t pid, const MapsEntry& entry) {
  char leaf[64];
  snprintf(leaf, sizeof(leaf), "map_files/%" PRIx64 "-%" PRIx64, entry.start, entry.end);
  return kernel::proc::path_of(pid, leaf);
}

bool can_be_written(const MapsEntry& entry) {
  return entry.shared && ((entry.protection & PROT_WRITE) != 0 || entry.has(VmFlag::kMayWrite));
}

// maps writes a newline as \012 and leaves a backslash as it is, so only the link tells such names
// apart.
Result<std::string> exact_path(const std::string& proc_path, const MapsEntry& entry) {
  if (entry.path.find_first_of("\\\n") == std::string::npos) return entry.path;
  std::string link = PD_TRY(kernel::proc::read_link(proc_path));
  if (entry.deleted && link.ends_with(kDeletedSuffix))
    link.resize(link.size() - kDeletedSuffix.size());
  return link;
}

bool same_state(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mode == b.st_mode && a.st_uid == b.st_uid && a.st_gid == b.st_gid &&
         a.st_nlink == b.st_nlink && kernel::mtime_ns_of(a) == kernel::mtime_ns_of(b) &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

}  // namespace

Result<Backing> MappedFiles::add(pid_t pid, const MapsEntry& entry, MemoryObjects& objects) {
  Key key = key_of(entry);
  auto found = resolved_.find(key);
  if (found == resolved_.end()) {
    Backing backing;
    if (!take_remembered(key, &backing)) backing = PD_TRY(resolve(key, pid, entry, objects));
    found = resolved_.emplace(std::move(key), backing).first;
  }
  Backing backing = found->second;
  if (backing.kind == Backing::Kind::kFile && can_be_written(entry)) {
    PD_TRY(note_writable(backing.id, map_files_path(pid, entry)));
  }
  return backing;
}

bool MappedFiles::remembers(const MapsEntry& entry) const {
  return remembered_.contains(key_of(entry));
}

bool MappedFiles::add_remembered(std::span<const MapsEntry> entries) {
  for (const MapsEntry& entry : entries) {
    Key key = key_of(entry);
    if (resolved_.contains(key)) continue;
    Backing backing;
    if (!take_remembered(key, &backing)) return false;
    resolved_.emplace(std::move(key), backing);
  }
  return true;
}

void MappedFiles::reset() {
  resolved_.clear();
  records_.clear();
  plain_root_.clear();
}

void MappedFiles::look_ahead(pid_t pid, std::span<const MapsEntry> entries) {
  MemoryObjects objects(*ids_);
  for (const MapsEntry& entry : entries) {
    if (entry.shared || entry.deleted || !entry.path.starts_with('/')) continue;
    const Key key = key_of(entry);
    // What cannot be resolved now is tried again in the stop, which says why.
    if (!remembered_.contains(key)) (void)resolve(key, pid, entry, objects);
  }
}

void MappedFiles::look_again() {
  plain_root_.clear();
  std::map<pid_t, Fd> roots;
  for (auto at = remembered_.begin(); at != remembered_.end();) {
    at = is_as_before(at->second, &roots) ? std::next(at) : remembered_.erase(at);
  }
}

// To begin at the root takes half the time of a path through /proc. Null: it cannot be opened.
const Fd* MappedFiles::root_of(pid_t pid, std::map<pid_t, Fd>* roots) {
  const auto [root, added] = roots->try_emplace(pid);
  if (added) {
    auto opened =
        kernel::open_file(kernel::proc::path_of(pid, "root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (opened.ok()) root->second = std::move(*opened);
  }
  return root->second.valid() ? &root->second : nullptr;
}

// Forgets that it was used.
bool MappedFiles::is_as_before(Remembered& known, std::map<pid_t, Fd>* roots) {
  if (!std::exchange(known.used, false)) return false;
  if (has_plain_root(known.pid)) {
    // The mapping keeps its inode alive, so that no other file can have the number.
    const Fd* const root = root_of(known.pid, roots);
    if (root == nullptr || !known.path.starts_with('/')) return false;
    const Result<struct stat> named = kernel::lstat_below(*root, known.path.substr(1));
    return named.ok() && same_state(*named, known.file);
  }
  const Result<struct stat> file = kernel::stat_path(known.proc_path);
  return file.ok() && same_state(*file, known.file) && !known.path.ends_with(kDeletedSuffix);
}

bool MappedFiles::take_remembered(const Key& key, Backing* backing) {
  auto found = remembered_.find(key);
  if (found == remembered_.end()) return false;
  found->second.used = true;
  *backing = found->second.backing;
  records_.try_emplace(backing->id, found->second.record);
  return true;
}

void MappedFiles::remember(const Key& key, pid_t pid, const std::string& proc_path,
                           const std::string& path, const struct stat& file,
                           const Backing& backing) {
  const object::OpenFile& record = records_.at(backing.id);
  if (record.flags() != O_RDONLY) return;  // somebody else maps it to write
  remembered_[key] = {backing, record, file, path, pid, proc_path};
}

Result<Backing> MappedFiles::resolve(const Key& key, pid_t pid, const MapsEntry& entry,
                                     MemoryObjects& objects) {
  std::string proc_path = map_files_path(pid, entry);
  struct stat file = PD_TRY(kernel::stat_path(proc_path));
  if (S_ISCHR(file.st_mode) && !entry.shared && file.st_rdev == makedev(1, 5)) {
    return Backing{Backing::Kind::kDeviceZero, ObjectId()};
  }
  if (!S_ISREG(file.st_mode))
    return Error(Code::kUnsupported, "memory of a device cannot be saved");
  std::string path = PD_TRY(exact_path(proc_path, entry));
  // A name may itself end in " (deleted)".
  if (entry.deleted && file.st_nlink > 0 &&
      name_leads_to(pid, path + std::string(kDeletedSuffix), file)) {
    path += kDeletedSuffix;
  }
  auto tmpfs = entry.shared ? MemoryObjects::Tmpfs::kAsMemory : MemoryObjects::Tmpfs::kAsFile;
  ObjectId memory = PD_TRY(objects.add(proc_path, path, tmpfs));
  if (memory == ObjectId() && !name_leads_to(pid, path, file)) {
    if (entry.shared) {
      return Error(Code::kUnsupported,
                   "a shared mapping of a file that has another name now cannot be saved");
    }
    memory = PD_TRY(objects.add_unreachable(proc_path, path));
  }
  if (memory == ObjectId()) {
    const Backing backing{Backing::Kind::kFile,
                          PD_TRY(add_regular(pid, file, path, entry, objects))};
    if (!can_be_written(entry)) remember(key, pid, proc_path, path, file, backing);
    return backing;
  }
  if (entry.shared) return Backing{Backing::Kind::kMemory, memory};
  return Backing{Backing::Kind::kFile, add_unnamed(file, path, *objects.find(memory))};
}

Result<ObjectId> MappedFiles::add_regular(pid_t pid, const struct stat& file,
                                          const std::string& path, const MapsEntry& entry,
                                          MemoryObjects& objects) {
  std::string proc_path = map_files_path(pid, entry);
  ObjectId id =
      ids_->id_of("file:" + std::to_string(file.st_dev) + ":" + std::to_string(file.st_ino));
  auto [record, added] = records_.try_emplace(id);
  if (!added) return id;
  record->second.set_flags(O_RDONLY);
  object::FileIdentity* identity = record->second.mutable_regular()->mutable_identity();
  *identity = identity_of(file, path);
  int64_t type = PD_TRY(objects.file_system(file, proc_path));
  identity->set_is_tmpfs(type == TMPFS_MAGIC);
  if (!entry.shared) identity->set_build_id(PD_TRY(build_id(proc_path, file)));
  return id;
}

// Whether the path still leads to the file. Of a process with a root of its own we cannot tell:
// maps gives paths from the root of its mount namespace.
bool MappedFiles::has_plain_root(pid_t pid) {
  auto [plain, added] = plain_root_.try_emplace(pid);
  if (added) {
    Result<std::string> link = kernel::proc::read_link(kernel::proc::path_of(pid, "root"));
    plain->second = link.ok() && *link == "/";
  }
  return plain->second;
}

bool MappedFiles::name_leads_to(pid_t pid, const std::string& path, const struct stat& file) {
  if (!has_plain_root(pid)) return !path.ends_with(kDeletedSuffix);
  Result<struct stat> named = kernel::lstat_path(kernel::proc::path_of(pid, "root") + path);
  return named.ok() && named->st_dev == file.st_dev && named->st_ino == file.st_ino;
}

// A private mapping of a memory object.
ObjectId MappedFiles::add_unnamed(const struct stat& file, const std::string& path,
                                  const MemoryEntry& content) {
  ObjectId id = ids_->id_of("map:" + std::to_string(content.id.value));
  object::OpenFile& record = records_[id];
  record.set_flags(O_RDONLY);
  if (content.record.kind() != object::MemoryObject::DELETED_FILE) {
    record.mutable_memfd()->set_memory_object(content.id.value);
    return id;
  }
  object::RegularFile* regular = record.mutable_regular();
  *regular->mutable_identity() = identity_of(file, path);
  regular->set_deleted(true);
  regular->set_content(content.id.value);
  return id;
}

// Through a shared mapping the program can write the file, so that a restore must find it as it
// was.
Status MappedFiles::note_writable(ObjectId id, const std::string& proc_path) {
  object::OpenFile& record = records_.at(id);
  object::FileIdentity* identity = record.mutable_regular()->mutable_identity();
  record.set_flags(O_RDWR);
  if (identity->checked()) return {};
  struct stat file = PD_TRY(kernel::stat_path(proc_path));
  identity->set_checksum(PD_TRY(checksum_of_file(proc_path, file, checksums_)));
  identity->set_checked(true);
  return {};
}

Result<std::string> MappedFiles::build_id(const std::string& proc_path, const struct stat& file) {
  auto [entry, added] = build_ids_.try_emplace({file.st_dev, file.st_ino});
  int64_t mtime_ns = kernel::mtime_ns_of(file);
  if (added || entry->second.mtime_ns != mtime_ns) {
    Fd content = PD_TRY(kernel::open_file(proc_path, O_RDONLY | O_CLOEXEC));
    entry->second = BuildId{mtime_ns, PD_TRY(read_build_id(content.get()))};
  }
  return entry->second.bytes;
}

}  // namespace perdure::capture
