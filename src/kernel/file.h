// File descriptions: one wrapper per call. Descriptors made here are close-on-exec; EINTR is
// retried.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"

namespace perdure::kernel {

// "/proc/self/fd/N": opening it makes a new description of the same file, whatever became of its
// name.
std::string path_of_fd(int fd);
// "/proc/PID/fd/N".
std::string path_of_fd(pid_t pid, int fd);

Result<Fd> open_file(const std::string& path, int flags, mode_t mode = 0);
// Follows links, those of /proc/PID/fd included.
Result<struct stat> stat_path(const std::string& path);
Result<struct stat> lstat_path(const std::string& path);
// path: from that folder on, not beginning with a slash.
Result<struct stat> stat_below(const Fd& folder, const std::string& path);
Result<struct stat> lstat_below(const Fd& folder, const std::string& path);
Result<struct stat> stat_fd(int fd);
// The f_type of the file system that holds a file (statfs(2)).
Result<int64_t> file_system_of(const std::string& path);
int64_t mtime_ns_of(const struct stat& file);
int64_t ctime_ns_of(const struct stat& file);

// Reads until `size` bytes or the end. At an offset, without moving the position.
Result<std::string> read_at(int fd, uint64_t offset, size_t size);
// One read(2); nothing if it would block.
Result<std::optional<std::string>> read_some(int fd, size_t size);
// Writes everything, or fails. EAGAIN is a failure: nothing that we write may wait for a reader.
Status write_all(int fd, Bytes bytes);
Status write_at(int fd, uint64_t offset, Bytes bytes);
Status seek(int fd, uint64_t offset);
Status truncate_file(int fd, uint64_t size);
Status unlink_path(const std::string& path);
// Replaces what is at `to`.
Status rename_path(const std::string& from, const std::string& to);
Status set_owner_and_mode(int fd, uid_t uid, gid_t gid, mode_t mode);
Status set_path_owner_and_mode(const std::string& path, uid_t uid, gid_t gid, mode_t mode);

// A duplicate of a descriptor of another process: the same description (pidfd_getfd(2)).
Result<Fd> pidfd_getfd(int pidfd, int number);
// A duplicate at a number not below `lowest` (F_DUPFD_CLOEXEC).
Result<Fd> duplicate_above(int fd, int lowest);
// Places a duplicate at exactly `number`, closing what was there (dup3(2)).
Status duplicate_to(int fd, int number);
bool is_open(int number);
Result<int> descriptor_flags(int fd);  // F_GETFD
Status set_descriptor_flags(int fd, int flags);

Result<int> status_flags(int fd);  // F_GETFL
Status set_status_flags(int fd, int flags);

// Who gets SIGIO (F_GETOWN_EX, F_GETSIG). The id is in our PID namespace; 0: nobody.
struct FileOwner {
  int type = 0;
  pid_t id = 0;
  int signal = 0;
};
Result<FileOwner> file_owner(int fd);

// The kernel's order of two descriptions (kcmp(2), KCMP_FILE): <0, 0 if they are the same, >0.
Result<int> compare_files(pid_t one, int one_fd, pid_t other, int other_fd);
// Whether `fd` of `pid` is what entry number `place` among those that watch number `watched` refers
// to in the epoll instance `epoll_fd` of `epoll_pid` (KCMP_EPOLL_TFD).
struct EpollSlot {
  int epoll_fd = -1;
  int watched = -1;
  uint32_t place = 0;
};
Result<bool> is_epoll_target(pid_t pid, int fd, pid_t epoll_pid, const EpollSlot& slot);
// The kernel's order of the descriptor tables of two tasks (KCMP_FILES): 0 if they share one.
Result<int> compare_tables(pid_t one, pid_t other);

// Locks of a description. Whole-file flock(2), and byte ranges of open file description locks
// (fcntl(2)); a length of 0 is "to the end". kBusy if someone else holds it.
Status lock_description(int fd, bool write);
struct ByteRange {
  uint64_t start = 0;
  uint64_t length = 0;
};
Status lock_range(int fd, bool write, ByteRange range);

// The soft limit of descriptor numbers (RLIMIT_NOFILE).
uint64_t descriptor_limit();
// Raises the soft limit to the hard one.
void raise_descriptor_limit();
// Makes room for so many descriptors at once, as far as the hard limit allows. Where several
// threads share a table, growing it when it is full waits for a grace period of RCU, 10 to 20 ms
// (expand_fdtable in fs/file.c).
void reserve_descriptors(uint64_t count);

// The working directory is another one until the end of the scope.
class FolderScope {
 public:
  static Result<FolderScope> enter(const std::string& folder);
  FolderScope(FolderScope&& other) noexcept : home_(std::move(other.home_)) {}
  FolderScope& operator=(FolderScope&&) = delete;
  ~FolderScope();

 private:
  explicit FolderScope(Fd home) : home_(std::move(home)) {}
  Fd home_;
};

// Readiness now (poll(2) without waiting): POLLIN, POLLHUP, ...
Result<int> poll_now(int fd, int events);
// The same, waiting for at most so long.
Result<int> poll_for(int fd, int events, int wait_ms);

}  // namespace perdure::kernel
