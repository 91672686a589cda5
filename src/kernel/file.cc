#include "kernel/file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/assert.h"
#include "kernel/retrying.h"

namespace perdure::kernel {
namespace {

// linux/kcmp.h
constexpr int kKcmpFile = 0;
constexpr int kKcmpFiles = 2;
constexpr int kKcmpEpollTfd = 7;
struct KcmpEpollSlot {
  uint32_t epoll_fd;
  uint32_t watched;
  uint32_t place;
};
static_assert(sizeof(KcmpEpollSlot) == 12);

std::string numbered(int fd) { return "descriptor " + std::to_string(fd); }

// kcmp(2) answers 0 equal, 1 less, 2 greater, 3 different without an order.
Result<int> kcmp(pid_t one, pid_t other, int type, uint64_t first, uint64_t second) {
  const long answer = ::syscall(SYS_kcmp, one, other, type, first, second);
  if (answer < 0) {
    return Error::system(errno, "kcmp", std::to_string(one) + " and " + std::to_string(other));
  }
  return answer == 0 ? 0 : answer == 1 ? -1 : 1;
}

}  // namespace

std::string path_of_fd(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

std::string path_of_fd(pid_t pid, int fd) {
  return "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
}

Result<Fd> open_file(const std::string& path, int flags, mode_t mode) {
  const int fd = retrying([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) return Error::system(errno, "open", path);
  return Fd::adopt(fd);
}

Result<struct stat> stat_path(const std::string& path) {
  struct stat found;
  if (::stat(path.c_str(), &found) != 0) return Error::system(errno, "stat", path);
  return found;
}

Result<struct stat> lstat_path(const std::string& path) {
  struct stat found;
  if (::lstat(path.c_str(), &found) != 0) return Error::system(errno, "lstat", path);
  return found;
}

Result<struct stat> stat_below(const Fd& folder, const std::string& path) {
  struct stat found;
  if (::fstatat(folder.get(), path.c_str(), &found, 0) != 0)
    return Error::system(errno, "stat", path);
  return found;
}

Result<struct stat> lstat_below(const Fd& folder, const std::string& path) {
  struct stat found;
  if (::fstatat(folder.get(), path.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0)
    return Error::system(errno, "lstat", path);
  return found;
}

Result<struct stat> stat_fd(int fd) {
  struct stat found;
  if (::fstat(fd, &found) != 0) return Error::system(errno, "fstat", numbered(fd));
  return found;
}

Result<int64_t> file_system_of(const std::string& path) {
  struct statfs found;
  if (retrying([&] { return ::statfs(path.c_str(), &found); }) != 0) {
    return Error::system(errno, "statfs", path);
  }
  return static_cast<int64_t>(found.f_type);
}

int64_t mtime_ns_of(const struct stat& file) {
  return int64_t{file.st_mtim.tv_sec} * 1'000'000'000 + file.st_mtim.tv_nsec;
}

int64_t ctime_ns_of(const struct stat& file) {
  return int64_t{file.st_ctim.tv_sec} * 1'000'000'000 + file.st_ctim.tv_nsec;
}

Result<std::string> read_at(int fd, uint64_t offset, size_t size) {
  std::string bytes(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t got =
        retrying([&] { return ::pread(fd, bytes.data() + done, size - done, offset + done); });
    if (got < 0) return Error::system(errno, "read", numbered(fd));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

Result<std::optional<std::string>> read_some(int fd, size_t size) {
  std::string bytes(size, '\0');
  const ssize_t got = retrying([&] { return ::read(fd, bytes.data(), size); });
  if (got < 0 && errno == EAGAIN) return std::optional<std::string>();
  if (got < 0) return Error::system(errno, "read", numbered(fd));
  bytes.resize(static_cast<size_t>(got));
  return std::optional<std::string>(std::move(bytes));
}

Status write_all(int fd, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t put = retrying([&] { return ::write(fd, bytes.data(), bytes.size()); });
    if (put < 0) return Error::system(errno, "write", numbered(fd));
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return {};
}

Status write_at(int fd, uint64_t offset, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t put = retrying([&] { return ::pwrite(fd, bytes.data(), bytes.size(), offset); });
    if (put < 0) return Error::system(errno, "write", numbered(fd));
    bytes = bytes.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  return {};
}

Status seek(int fd, uint64_t offset) {
  if (::lseek(fd, static_cast<off_t>(offset), SEEK_SET) < 0) {
    return Error::system(errno, "seek", numbered(fd));
  }
  return {};
}

Status truncate_file(int fd, uint64_t size) {
  if (retrying([&] { return ::ftruncate(fd, static_cast<off_t>(size)); }) != 0) {
    return Error::system(errno, "set the size of", numbered(fd));
  }
  return {};
}

Status rename_path(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return Error::system(errno, "replace", to);
  return {};
}

Status unlink_path(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return Error::system(errno, "unlink", path);
  return {};
}

Status set_owner_and_mode(int fd, uid_t uid, gid_t gid, mode_t mode) {
  // chown(2) clears set-id bits, so the mode follows it.
  if (::fchown(fd, uid, gid) != 0) return Error::system(errno, "chown", numbered(fd));
  if (::fchmod(fd, mode & 07777) != 0) return Error::system(errno, "chmod", numbered(fd));
  return {};
}

Status set_path_owner_and_mode(const std::string& path, uid_t uid, gid_t gid, mode_t mode) {
  if (::chown(path.c_str(), uid, gid) != 0) return Error::system(errno, "chown", path);
  if (::chmod(path.c_str(), mode & 07777) != 0) return Error::system(errno, "chmod", path);
  return {};
}

Result<Fd> pidfd_getfd(int pidfd, int number) {
  const long fd = ::syscall(SYS_pidfd_getfd, pidfd, number, 0);
  if (fd < 0) return Error::system(errno, "duplicate", numbered(number));
  return Fd::adopt(static_cast<int>(fd));
}

Result<Fd> duplicate_above(int fd, int lowest) {
  const int made = ::fcntl(fd, F_DUPFD_CLOEXEC, lowest);
  if (made < 0) return Error::system(errno, "duplicate", numbered(fd));
  return Fd::adopt(made);
}

Status duplicate_to(int fd, int number) {
  if (retrying([&] { return ::dup3(fd, number, O_CLOEXEC); }) < 0) {
    return Error::system(errno, "duplicate", numbered(fd) + " to " + std::to_string(number));
  }
  return {};
}

bool is_open(int number) { return ::fcntl(number, F_GETFD) >= 0; }

Result<int> descriptor_flags(int fd) {
  const int flags = ::fcntl(fd, F_GETFD);
  if (flags < 0) return Error::system(errno, "read the flags of", numbered(fd));
  return flags;
}

Status set_descriptor_flags(int fd, int flags) {
  if (::fcntl(fd, F_SETFD, flags) != 0) {
    return Error::system(errno, "set the flags of", numbered(fd));
  }
  return {};
}

Result<int> status_flags(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return Error::system(errno, "read the flags of", numbered(fd));
  return flags;
}

Status set_status_flags(int fd, int flags) {
  if (::fcntl(fd, F_SETFL, flags) != 0) {
    return Error::system(errno, "set the flags of", numbered(fd));
  }
  return {};
}

Result<FileOwner> file_owner(int fd) {
  struct f_owner_ex owner = {};
  if (::fcntl(fd, F_GETOWN_EX, &owner) != 0) {
    return Error::system(errno, "read the signal owner of", numbered(fd));
  }
  const int signal = ::fcntl(fd, F_GETSIG);
  if (signal < 0) return Error::system(errno, "read the signal of", numbered(fd));
  return FileOwner{owner.type, owner.pid, signal};
}

Result<int> compare_files(pid_t one, int one_fd, pid_t other, int other_fd) {
  return kcmp(one, other, kKcmpFile, static_cast<uint64_t>(one_fd),
              static_cast<uint64_t>(other_fd));
}

Result<bool> is_epoll_target(pid_t pid, int fd, pid_t epoll_pid, const EpollSlot& slot) {
  const KcmpEpollSlot raw = {static_cast<uint32_t>(slot.epoll_fd),
                             static_cast<uint32_t>(slot.watched), slot.place};
  return PD_TRY(kcmp(pid, epoll_pid, kKcmpEpollTfd, static_cast<uint64_t>(fd),
                     reinterpret_cast<uint64_t>(&raw))) == 0;
}

Result<int> compare_tables(pid_t one, pid_t other) { return kcmp(one, other, kKcmpFiles, 0, 0); }

Status lock_description(int fd, bool write) {
  if (retrying([&] { return ::flock(fd, (write ? LOCK_EX : LOCK_SH) | LOCK_NB); }) == 0) return {};
  if (errno == EWOULDBLOCK) return Error(Code::kBusy, "another program holds a lock on it");
  return Error::system(errno, "lock", numbered(fd));
}

Status lock_range(int fd, bool write, ByteRange range) {
  struct flock lock = {};
  lock.l_type = write ? F_WRLCK : F_RDLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(range.start);
  lock.l_len = static_cast<off_t>(range.length);
  if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return {};
  if (errno == EAGAIN || errno == EACCES) {
    return Error(Code::kBusy, "another program holds a lock on it");
  }
  return Error::system(errno, "lock", numbered(fd));
}

uint64_t descriptor_limit() {
  struct rlimit limit = {};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

void raise_descriptor_limit() {
  struct rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void reserve_descriptors(uint64_t count) {
  if (count > descriptor_limit()) raise_descriptor_limit();
  const uint64_t last = std::min(count, descriptor_limit()) - 1;
  const Fd any = Fd::adopt(::open("/", O_PATH | O_CLOEXEC));
  if (any.valid()) Fd::adopt(::fcntl(any.get(), F_DUPFD_CLOEXEC, static_cast<int>(last))).reset();
}

Result<FolderScope> FolderScope::enter(const std::string& folder) {
  Fd home = PD_TRY(open_file(".", O_PATH | O_DIRECTORY));
  if (::chdir(folder.c_str()) != 0) return Error::system(errno, "enter", folder);
  return FolderScope(std::move(home));
}

FolderScope::~FolderScope() {
  if (home_.valid()) PD_ASSERT(::fchdir(home_.get()) == 0);
}

Result<int> poll_now(int fd, int events) { return poll_for(fd, events, 0); }

Result<int> poll_for(int fd, int events, int wait_ms) {
  struct pollfd watched = {fd, static_cast<short>(events), 0};
  if (retrying([&] { return ::poll(&watched, 1, wait_ms); }) < 0) {
    return Error::system(errno, "poll", numbered(fd));
  }
  return static_cast<int>(watched.revents);
}

}  // namespace perdure::kernel
