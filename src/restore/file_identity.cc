// Files on disk: found by path, and verified against what the epoch holds of them before anything
// is built.
#include <fcntl.h>

#include "base/checksum.h"
#include "kernel/file.h"
#include "restore/file_kinds.h"

namespace perdure::restore {
namespace {

constexpr const char* kRemedy = "restore with --files volatile to take files as they are";
// The build id of an ELF file lies among its first notes.
constexpr size_t kNotesBytesMax = 64 * 1024;

Error changed(const object::FileIdentity& identity, const std::string& how) {
  return Error(Code::kChanged, "file " + identity.path() + " is not as in the epoch: " + how)
      .with_remedy(kRemedy);
}

const char* type_name(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "a regular file";
    case S_IFDIR:
      return "a folder";
    case S_IFLNK:
      return "a symbolic link";
    case S_IFIFO:
      return "a FIFO";
    case S_IFSOCK:
      return "a socket";
    case S_IFCHR:
      return "a character device";
    case S_IFBLK:
      return "a block device";
    default:
      return "of another type";
  }
}

bool same_type(const object::FileIdentity& identity, const struct stat& file) {
  return (identity.mode() & S_IFMT) == (file.st_mode & S_IFMT);
}

Result<std::string> read_start(const object::FileIdentity& identity, size_t size) {
  const Fd file = PD_TRY(kernel::open_file(identity.path(), O_RDONLY | O_NOCTTY | O_NONBLOCK));
  return kernel::read_at(file.get(), 0, size);
}

// An executable or library that was installed again, with other times, is the same if its build id
// is.
Result<bool> has_build_id(const object::FileIdentity& identity) {
  if (identity.build_id().empty()) return false;
  const std::string start = PD_TRY(read_start(identity, kNotesBytesMax));
  return start.find(std::string("GNU\0", 4) + identity.build_id()) != start.npos;
}

std::string size_change(const object::FileIdentity& identity, const struct stat& file) {
  return "it has " + std::to_string(file.st_size) + " bytes instead of " +
         std::to_string(identity.size());
}

// Empty: it did not.
Result<std::string> how_it_differs(const object::FileIdentity& identity, const struct stat& file) {
  if (static_cast<uint64_t>(file.st_size) != identity.size()) return size_change(identity, file);
  if (kernel::mtime_ns_of(file) != identity.mtime_ns()) {
    return std::string("it was modified at another time");
  }
  if (!identity.checked()) return std::string();
  if (identity.checksum() == 0) {
    return std::string(file.st_ino == identity.inode() ? "" : "it is another file of that name");
  }
  const std::string content = PD_TRY(read_start(identity, identity.size()));
  uint64_t sum = checksum(Bytes(reinterpret_cast<const uint8_t*>(content.data()), content.size()));
  if (sum == 0) sum = 1;
  return std::string(sum == identity.checksum() ? "" : "its content has another checksum");
}

}  // namespace

Status verify_identity(const object::FileIdentity& identity, FilePolicy policy) {
  const Result<struct stat> file = kernel::lstat_path(identity.path());
  if (!file.ok()) {
    const bool missing = file.error().code() == Code::kNotFound;
    return missing ? changed(identity, "there is no such file")
                         .with_remedy("bring the file back to where it was")
                   : file.error();
  }
  if (!same_type(identity, *file)) {
    return changed(identity, std::string("it is ") + type_name(file->st_mode) + " instead of " +
                                 type_name(identity.mode()))
        .with_remedy("bring the file back to where it was");
  }
  if (identity.loose() || identity.is_virtual()) return {};
  const std::string how = PD_TRY(how_it_differs(identity, *file));
  if (how.empty()) return {};
  if (!identity.checked() && PD_TRY(has_build_id(identity))) return {};
  // Code that runs must be the same code, whatever the policy: its addresses are in the program's
  // memory.
  if (policy == FilePolicy::kVolatile && identity.build_id().empty()) return {};
  Error error = changed(identity, how);
  if (identity.build_id().empty()) return error;
  return std::move(error).with_remedy("bring the same build of the file back to where it was");
}

Result<Fd> open_identified(const object::FileIdentity& identity, int flags) {
  Fd file = PD_TRY(kernel::open_file(identity.path(), flags));
  const struct stat found = PD_TRY(kernel::stat_fd(file.get()));
  if (!same_type(identity, found)) return changed(identity, "it changed during the restore");
  return file;
}

int open_flags(const object::OpenFile& record) {
  constexpr int kAtOpenOnly = O_CREAT | O_EXCL | O_TRUNC;
  // O_ASYNC follows by F_SETFL; a FIFO or device must not wait.
  return (static_cast<int>(record.flags()) & ~(kAtOpenOnly | O_ASYNC)) | O_NOCTTY;
}

int reopen_flags(const object::OpenFile& record) {
  // F_GETFL keeps O_TMPFILE, which contains O_DIRECTORY; /proc/self/fd/N is a link.
  return open_flags(record) & ~(O_TMPFILE | O_NOFOLLOW);
}

std::string describe(const object::OpenFile& record) {
  using object::OpenFile;
  switch (record.kind_case()) {
    case OpenFile::kRegular:
      return "file " + record.regular().identity().path();
    case OpenFile::kDirectory:
      return "folder " + record.directory().identity().path();
    case OpenFile::kPathOnly:
      return "path " + record.path_only().identity().path();
    case OpenFile::kDevice:
      return "device " + record.device().path();
    case OpenFile::kPipe:
      return record.pipe().fifo_path().empty() ? "pipe" : "FIFO " + record.pipe().fifo_path();
    case OpenFile::kEventfd:
      return "eventfd";
    case OpenFile::kEpoll:
      return "epoll instance";
    case OpenFile::kTimerfd:
      return "timerfd";
    case OpenFile::kSignalfd:
      return "signalfd";
    case OpenFile::kMemfd:
      return "shared memory";
    case OpenFile::kStandardStream:
      return "standard stream " + std::to_string(record.standard_stream().number());
    case OpenFile::kPty:
      return "terminal /dev/pts/" + std::to_string(record.pty().index());
    case OpenFile::kUnixSocket:
      return "Unix socket " + record.unix_socket().address();
    case OpenFile::kTcpListener:
      return "TCP socket on port " + std::to_string(record.tcp_listener().port());
    case OpenFile::KIND_NOT_SET:
      break;
  }
  return "open file";
}

}  // namespace perdure::restore
