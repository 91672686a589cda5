#include "kernel/proc/read.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <memory>

#include "base/fd.h"
#include "kernel/proc/kept_files.h"

namespace perdure::kernel::proc {
namespace {

// Larger than any stat, status or limits file: one read, one allocation.
constexpr size_t kFirstRead = 8192;
// Nothing under /proc that we read whole is larger (maps of a process with kVmasPerProcessMax
// vmas).
constexpr size_t kTextBytesMax = 512u << 20;

// "/proc/123" of "/proc/123/status", or nothing.
std::string process_folder(const std::string& path) {
  constexpr std::string_view kProc = "/proc/";
  if (path.compare(0, kProc.size(), kProc) != 0) return {};
  size_t end = path.find('/', kProc.size());
  if (end == std::string::npos) end = path.size();
  const std::string name = path.substr(kProc.size(), end - kProc.size());
  if (!parse_unsigned(name)) return {};
  const size_t task = path.find("/task/", end);
  if (task != end) return path.substr(0, end);
  const size_t task_end = path.find('/', end + 6);
  return path.substr(0, task_end);
}

Error failure(int error_number, const char* operation, const std::string& path) {
  Error error = Error::system(error_number, operation, path);
  const std::string folder = process_folder(path);
  if (folder.empty()) return error;
  if (error_number == ESRCH) return std::move(error).with_code(Code::kGone);
  if (error_number != ENOENT) return error;
  const bool alive = ::access(folder.c_str(), F_OK) == 0;
  return std::move(error).with_code(alive ? Code::kUnavailable : Code::kGone);
}

ssize_t read_retrying(int fd, char* to, size_t size) {
  ssize_t got;
  do {
    got = ::read(fd, to, size);
  } while (got < 0 && errno == EINTR);
  return got;
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

}  // namespace

std::string path_of(pid_t pid, std::string_view leaf) {
  std::string path = "/proc/";
  return path.append(std::to_string(pid)).append("/").append(leaf);
}

std::string path_of(pid_t pid, pid_t tid, std::string_view leaf) {
  std::string path = "/proc/";
  path.append(std::to_string(pid)).append("/task/").append(std::to_string(tid));
  return path.append("/").append(leaf);
}

Result<std::string> read_text(const std::string& path) {
  if (std::optional<Result<std::string>> kept = read_kept(path)) return std::move(*kept);
  Fd fd = Fd::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return failure(errno, "open", path);
  std::string text(kFirstRead, '\0');
  size_t used = 0;
  while (true) {
    const ssize_t got = read_retrying(fd.get(), text.data() + used, text.size() - used);
    if (got < 0) return failure(errno, "read", path);
    if (got == 0) break;
    used += static_cast<size_t>(got);
    if (used >= kTextBytesMax) return Error(Code::kLimit, path + " is larger than expected");
    if (used == text.size()) text.resize(text.size() * 2);
  }
  text.resize(used);
  return text;
}

Result<std::string> read_link(const std::string& path) {
  if (std::optional<std::string> kept = read_kept_link(path)) return std::move(*kept);
  char target[PATH_MAX + 64];
  const ssize_t size = ::readlink(path.c_str(), target, sizeof(target));
  if (size < 0) return failure(errno, "read the link", path);
  return std::string(target, static_cast<size_t>(size));
}

Result<std::vector<pid_t>> list_numbers(const std::string& path) {
  if (std::optional<std::vector<pid_t>> kept = list_kept(path)) return std::move(*kept);
  std::unique_ptr<DIR, CloseFolder> folder(::opendir(path.c_str()));
  if (!folder) return failure(errno, "open", path);
  std::vector<pid_t> numbers;
  errno = 0;
  while (const dirent* entry = ::readdir(folder.get())) {
    if (auto number = parse_unsigned(entry->d_name)) numbers.push_back(static_cast<pid_t>(*number));
    errno = 0;
  }
  if (errno != 0) return failure(errno, "read", path);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Status write_text(const std::string& path, std::string_view text) {
  Fd fd = Fd::adopt(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return failure(errno, "open", path);
  ssize_t put;
  do {
    put = ::write(fd.get(), text.data(), text.size());
  } while (put < 0 && errno == EINTR);
  if (put < 0) return failure(errno, "write", path);
  if (static_cast<size_t>(put) != text.size()) return failure(EIO, "write", path);
  return {};
}

Result<std::vector<pid_t>> threads_of(pid_t pid) {
  std::vector<pid_t> tids = PD_TRY(list_numbers(path_of(pid, "task")));
  const auto leader = std::find(tids.begin(), tids.end(), pid);
  if (leader != tids.end()) std::rotate(tids.begin(), leader, leader + 1);
  return tids;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::vector<std::string_view> lines_of(std::string_view text) { return split(text, '\n'); }

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::optional<int64_t> parse_signed(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<uint64_t> parse_unsigned(std::string_view text, int base) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace perdure::kernel::proc
