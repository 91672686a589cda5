#include "kernel/device_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string_view>

#include "kernel/abi/cachestat.h"

namespace perdure::kernel {
namespace {

int flags_of(OpenFor open_for) {
  switch (open_for) {
    case OpenFor::kRead:
      return O_RDONLY | O_CLOEXEC;
    case OpenFor::kWrite:
      return O_RDWR | O_CLOEXEC;
    case OpenFor::kCreate:
      return O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
  }
  return O_RDONLY | O_CLOEXEC;
}

// Calls again as long as a signal interrupts.
template <typename Call>
auto retried(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

Status status_of(int result, const char* operation) {
  if (result < 0) return Error::system(errno, operation);
  return Ok{};
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

Result<Fd> open_disk_file(const std::string& path, OpenFor open_for, Caching caching) {
  const int flags = flags_of(open_for);
  if (caching == Caching::kDirectIfPossible) {
    const int direct = retried([&] { return ::open(path.c_str(), flags | O_DIRECT, 0600); });
    if (direct >= 0) return Fd::adopt(direct);
    if (errno != EINVAL) return Error::system(errno, "open");
    // open(2): "O_DIRECT ... EINVAL the filesystem does not support"; the file may have been
    // created all the same.
    if (open_for == OpenFor::kCreate) ::unlink(path.c_str());
  }
  const int fd = retried([&] { return ::open(path.c_str(), flags, 0600); });
  if (fd < 0) return Error::system(errno, "open");
  return Fd::adopt(fd);
}

Result<Fd> open_lock_file(const std::string& path) {
  const int fd = retried([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); });
  if (fd < 0) return Error::system(errno, "open");
  return Fd::adopt(fd);
}

Result<size_t> read_file_at(const Fd& fd, uint64_t offset, MutableBytes out) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = retried([&] {
      return ::pread(fd.get(), out.data() + done, out.size() - done,
                     static_cast<off_t>(offset + done));
    });
    if (n < 0) return Error::system(errno, "read");
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

bool read_file_directly(const Fd& fd, uint64_t offset, MutableBytes head, MutableBytes rest) {
  const std::array<iovec, 2> parts = {iovec{head.data(), head.size()},
                                      iovec{rest.data(), rest.size()}};
  const ssize_t n = retried(
      [&] { return ::preadv(fd.get(), parts.data(), parts.size(), static_cast<off_t>(offset)); });
  return n == static_cast<ssize_t>(head.size() + rest.size());
}

Fd reopen_directly(const Fd& fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  return Fd::adopt(retried([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC); }));
}

bool is_mostly_cached(const Fd& fd, uint64_t offset, uint64_t size) {
  const abi::CachestatRange range{offset, size};
  abi::Cachestat stat{};
  if (::syscall(abi::kSysCachestat, fd.get(), &range, &stat, 0) != 0) return true;
  return stat.nr_cache * abi::kCachestatPageBytes * 2 >= size;
}

Status write_file_at(const Fd& fd, uint64_t offset, Bytes data) {
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t n = retried([&] {
      return ::pwrite(fd.get(), data.data() + done, data.size() - done,
                      static_cast<off_t>(offset + done));
    });
    if (n < 0) return Error::system(errno, "write");
    if (n == 0) return Error::system(ENOSPC, "write");
    done += static_cast<size_t>(n);
  }
  return Ok{};
}

void start_writing(const Fd& fd, uint64_t offset, uint64_t size) {
  (void)::sync_file_range(fd.get(), static_cast<off64_t>(offset), static_cast<off64_t>(size),
                          SYNC_FILE_RANGE_WRITE);
}

void start_reading(int fd, uint64_t offset, uint64_t size) {
  (void)::posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(size),
                        POSIX_FADV_WILLNEED);
}

void allow_descriptors(uint64_t more) {
  // Beside what is open already: as many again as a process usually may have.
  constexpr uint64_t kUsual = 1024;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= more + kUsual) return;
  rlimit raised{more + kUsual, std::max<rlim_t>(more + kUsual, limit.rlim_max)};
  if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return;
  raised = {std::min<rlim_t>(more + kUsual, limit.rlim_max), limit.rlim_max};
  (void)::setrlimit(RLIMIT_NOFILE, &raised);
}

Status allocate_file(const Fd& fd, uint64_t size) {
  const int result = retried([&] { return ::fallocate(fd.get(), 0, 0, static_cast<off_t>(size)); });
  if (result == 0) return Ok{};
  if (errno != EOPNOTSUPP && errno != ENOSYS) return Error::system(errno, "fallocate");
  return truncate_file(fd, size);
}

Status truncate_file(const Fd& fd, uint64_t size) {
  return status_of(retried([&] { return ::ftruncate(fd.get(), static_cast<off_t>(size)); }),
                   "ftruncate");
}

Status sync_file_data(const Fd& fd) {
  return status_of(retried([&] { return ::fdatasync(fd.get()); }), "fdatasync");
}

Result<uint64_t> file_size(const Fd& fd) {
  struct stat st;
  if (::fstat(fd.get(), &st) < 0) return Error::system(errno, "fstat");
  return static_cast<uint64_t>(st.st_size);
}

Result<bool> try_lock_exclusive(const Fd& fd) {
  if (retried([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  return Error::system(errno, "flock");
}

Result<bool> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return true;
  if (errno == EEXIST) return false;
  return Error::system(errno, "mkdir");
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  std::unique_ptr<DIR, CloseDir> dir(::opendir(path.c_str()));
  if (!dir) return Error::system(errno, "open directory");
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {  // NOLINT: this DIR is ours alone
    const std::string_view name(entry->d_name);
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return Error::system(errno, "read directory");
  return names;
}

Status sync_directory(const std::string& path) {
  const int number =
      retried([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (number < 0) return Error::system(errno, "open directory");
  const Fd fd = Fd::adopt(number);
  return status_of(retried([&] { return ::fsync(fd.get()); }), "fsync directory");
}

Status remove_file(const std::string& path) { return status_of(::unlink(path.c_str()), "unlink"); }

Result<uint64_t> free_space(const std::string& path) {
  struct statvfs st;
  if (::statvfs(path.c_str(), &st) < 0) return Error::system(errno, "statvfs");
  return static_cast<uint64_t>(st.f_bavail) * st.f_frsize;
}

int own_pid() { return ::getpid(); }

}  // namespace perdure::kernel
