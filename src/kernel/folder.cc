#include "kernel/folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/fd.h"

namespace perdure::kernel {
namespace {

namespace fs = std::filesystem;

Status write_all(const Fd& file, const std::string& content, const std::string& path) {
  for (size_t done = 0; done < content.size();) {
    ssize_t wrote = ::write(file.get(), content.data() + done, content.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return Error::system(errno, "write", path);
    done += static_cast<size_t>(wrote);
  }
  return Ok{};
}

// fsync(2): a name is safe from a power cut once its folder was synced.
Status sync_folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
  Fd fd = Fd::adopt(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // One that may be written to but not read cannot be synced; that is no reason to do without.
  if (!fd.valid() && errno == EACCES) return Ok{};
  if (!fd.valid()) return Error::system(errno, "open", folder);
  // EINVAL: a file system that knows no folders to sync.
  if (::fsync(fd.get()) < 0 && errno != EINVAL) return Error::system(errno, "sync", folder);
  return Ok{};
}

enum class Lasting : uint8_t { kNo, kYes };

Status replace_note(const std::string& path, const std::string& content, Lasting lasting) {
  std::string beside = path + ".new";
  {
    Fd file = Fd::adopt(
        ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) return Error::system(errno, "create", beside);
    PD_TRY(write_all(file, content, beside));
    if (lasting == Lasting::kYes && ::fsync(file.get()) < 0)
      return Error::system(errno, "sync", beside);
  }
  if (::rename(beside.c_str(), path.c_str()) < 0) return Error::system(errno, "replace", path);
  return Ok{};
}

}  // namespace

Status make_private_folder(const std::string& path) {
  for (size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), 0700) == 0) {
      PD_TRY(sync_folder_of(part));
    } else if (errno != EEXIST && !is_folder(part)) {
      return Error::system(errno, "make the folder", part);
    }
  }
  if (is_folder(path)) return Ok{};
  return Error(Code::kInvalid, path + " is not a folder");
}

Status check_own_folder(const std::string& path) {
  struct stat status;
  if (::lstat(path.c_str(), &status) < 0) return Error::system(errno, "look at", path);
  if (!S_ISDIR(status.st_mode)) return Error(Code::kInvalid, path + " is not a folder");
  if (status.st_uid == ::geteuid() && (status.st_mode & 022) == 0) return Ok{};
  return Error(Code::kPermission, path + " belongs to another user or can be written by others")
      .with_remedy("chown it to this user and chmod 700 it");
}

bool is_folder(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool exists(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

Result<std::vector<std::string>> list_folder(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator at(path, error), end;
  if (error) {
    if (error.value() == ENOENT) return names;
    return Error::system(error.value(), "list", path);
  }
  while (at != end) {
    if (names.size() >= kFolderEntriesMax)
      return Error(Code::kLimit, path + " holds too many files");
    names.push_back(at->path().filename().string());
    at.increment(error);
    if (error) return Error::system(error.value(), "list", path);
  }
  std::sort(names.begin(), names.end());
  return names;
}

uint64_t bytes_on_disk(const std::string& path) {
  auto names = list_folder(path);
  if (!names.ok()) return 0;
  uint64_t total = 0;
  for (const std::string& name : *names) {
    struct stat status;
    const std::string file = std::string(path).append("/").append(name);
    if (::lstat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
      total += static_cast<uint64_t>(status.st_blocks) * 512;
    }
  }
  return total;
}

Status remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return Error::system(error.value(), "remove", path);
  return Ok{};
}

Status remove_file_if_exists(const std::string& path) {
  if (::unlink(path.c_str()) < 0 && errno != ENOENT) return Error::system(errno, "remove", path);
  return Ok{};
}

Result<std::string> read_note(const std::string& path) {
  Fd file = Fd::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid()) return Error::system(errno, "open", path);
  std::string content(kNoteBytesMax, '\0');
  size_t have = 0;
  while (have < content.size()) {
    ssize_t got = ::read(file.get(), content.data() + have, content.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::system(errno, "read", path);
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  content.resize(have);
  return content;
}

Status write_note(const std::string& path, const std::string& content) {
  return replace_note(path, content, Lasting::kNo);
}

Status write_lasting_note(const std::string& path, const std::string& content) {
  PD_TRY(replace_note(path, content, Lasting::kYes));
  return sync_folder_of(path);
}

Status make_private_file(const std::string& path) {
  Fd file =
      Fd::adopt(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return Error::system(errno, "open", path);
  return Ok{};
}

std::string canonical_path(const std::string& path) {
  std::error_code error;
  fs::path absolute = fs::absolute(path, error);
  fs::path canonical = fs::weakly_canonical(absolute, error);
  if (error) canonical = absolute.lexically_normal();
  std::string text = canonical.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

}  // namespace perdure::kernel
