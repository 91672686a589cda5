#include "capture/file_identity.h"

#include <fcntl.h>
#include <time.h>

#include "base/checksum.h"
#include "capture/file_kinds.h"
#include "kernel/file.h"

namespace perdure::capture {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kTmpfsMagic = 0x01021994;
constexpr int64_t kProcMagic = 0x9fa0;
constexpr int64_t kVirtualMagics[] = {
    kProcMagic,
    0x62656572 /* sysfs */,
    0x27e0eb /* cgroup */,
    0x63677270 /* cgroup2 */,
    0x64626720 /* debugfs */,
    0x74726163 /* tracefs */,
    0x73636673 /* securityfs */,
    0xf97cff8c /* selinuxfs */,
    0xde5e81e4 /* efivarfs */,
};

int64_t realtime_ns() {
  struct timespec now;
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return int64_t{now.tv_sec} * kSecondNs + now.tv_nsec;
}

bool is_virtual(int64_t magic) {
  for (const int64_t known : kVirtualMagics) {
    if (magic == known) return true;
  }
  return false;
}

// "/proc/123/...": state of one process, which is not there when files are opened anew.
bool is_of_a_process(const std::string& path) {
  return path.size() > 6 && path.compare(0, 6, "/proc/") == 0 && path[6] >= '0' && path[6] <= '9';
}

bool same_inode(const struct stat& one, const struct stat& other) {
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

bool leads_to(FileContext& context, const std::string& path, const struct stat& file) {
  if (S_ISLNK(file.st_mode)) {
    const Result<struct stat> link = kernel::lstat_path(path);
    return link.ok() && same_inode(*link, file);
  }
  const struct stat* found = context.paths.find(path);
  return found != nullptr && same_inode(*found, file);
}

}  // namespace

const uint64_t* ChecksumCache::find(const struct stat& file) const {
  const auto found = entries_.find({file.st_dev, file.st_ino});
  if (found == entries_.end()) return nullptr;
  const Entry& entry = found->second;
  const bool same = entry.size == file.st_size && entry.mtime_ns == kernel::mtime_ns_of(file) &&
                    entry.ctime_ns == kernel::ctime_ns_of(file);
  return same ? &entry.checksum : nullptr;
}

void ChecksumCache::keep(const struct stat& file, uint64_t checksum, int64_t now_ns) {
  if (now_ns - kernel::mtime_ns_of(file) < kSecondNs ||
      now_ns - kernel::ctime_ns_of(file) < kSecondNs)
    return;
  entries_[{file.st_dev, file.st_ino}] = {file.st_size, kernel::mtime_ns_of(file),
                                          kernel::ctime_ns_of(file), checksum};
}

object::FileIdentity identity_of(const struct stat& file, const std::string& path) {
  object::FileIdentity identity;
  identity.set_path(path);
  identity.set_device(file.st_dev);
  identity.set_inode(file.st_ino);
  identity.set_size(static_cast<uint64_t>(file.st_size));
  identity.set_mtime_ns(kernel::mtime_ns_of(file));
  identity.set_mode(file.st_mode);
  identity.set_uid(file.st_uid);
  identity.set_gid(file.st_gid);
  return identity;
}

Result<uint64_t> checksum_of_file(const std::string& proc_path, const struct stat& file,
                                  ChecksumCache* cache) {
  if (static_cast<uint64_t>(file.st_size) > kChecksumBytesMax) return uint64_t{0};
  if (cache != nullptr) {
    if (const uint64_t* known = cache->find(file)) return *known;
  }
  const int64_t now_ns = realtime_ns();
  Fd fd = PD_TRY(kernel::open_file(proc_path, O_RDONLY | O_NOCTTY));
  const std::string content =
      PD_TRY(kernel::read_at(fd.get(), 0, static_cast<size_t>(file.st_size)));
  uint64_t sum = checksum(Bytes(reinterpret_cast<const uint8_t*>(content.data()), content.size()));
  if (sum == 0) sum = 1;
  if (cache != nullptr) cache->keep(file, sum, now_ns);
  return sum;
}

Status identify(FileContext& context, const OpenFileEntry& entry, object::FileIdentity* identity) {
  const std::string& path = entry.link;
  // The link is as we see it: below the process's root in its own mount namespace, or, for one that
  // changed its root, below ours.
  const std::string through_root = "/proc/" + std::to_string(entry.holder) + "/root" + path;
  if (path.empty() || path[0] != '/' ||
      (!leads_to(context, through_root, entry.file) && !leads_to(context, path, entry.file))) {
    return refuse(entry, "file " + path + ", which its path no longer leads to,",
                  "the file was removed, replaced or hidden by a mount: let the program close it");
  }
  *identity = identity_of(entry.file, path);
  const int64_t magic = PD_TRY(context.memory.file_system(entry.file, entry.proc_path()));
  identity->set_is_tmpfs(magic == kTmpfsMagic);
  identity->set_is_virtual(is_virtual(magic));
  if (magic == kProcMagic && is_of_a_process(path)) {
    return refuse(entry, "file " + path + " of one process", "let the program close it");
  }
  return {};
}

}  // namespace perdure::capture
