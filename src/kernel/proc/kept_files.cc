#include "kernel/proc/kept_files.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "kernel/pidfd.h"
#include "kernel/proc/read.h"

namespace perdure::kernel::proc {
namespace {

// When more are open, those of the process at hand are closed: most belong to threads that ended
// long ago.
constexpr size_t kFilesMax = 4096;
constexpr size_t kFirstRead = 8192;

struct Kept {
  Fd process;
  std::unordered_map<std::string, Fd> files;  // by what follows "/proc/PID/"

  bool is_there() const {
    return ::syscall(SYS_pidfd_send_signal, process.get(), 0, nullptr, 0) == 0 || errno != ESRCH;
  }
};

struct Registry {
  std::unordered_map<pid_t, Kept> processes;
  size_t files = 0;

  void close_files(Kept* kept) {
    files -= kept->files.size();
    kept->files.clear();
  }

  void forget(pid_t pid) {
    auto found = processes.find(pid);
    if (found == processes.end()) return;
    files -= found->second.files.size();
    processes.erase(found);
  }
};

std::mutex lock;  // of the registry
Registry registry;

struct Place {
  pid_t pid;
  std::string leaf;
};

std::optional<Place> place_of(const std::string& path) {
  constexpr std::string_view kProc = "/proc/";
  if (path.compare(0, kProc.size(), kProc) != 0) return std::nullopt;
  const size_t end = path.find('/', kProc.size());
  if (end == std::string::npos) return std::nullopt;
  const auto pid = parse_unsigned(std::string_view(path).substr(kProc.size(), end - kProc.size()));
  if (!pid) return std::nullopt;
  return Place{static_cast<pid_t>(*pid), path.substr(end + 1)};
}

// Of memory: an empty answer means that the process has another address space now.
bool is_of_memory(const std::string& leaf) {
  return leaf == "maps" || leaf == "smaps" || leaf == "auxv" || leaf == "environ";
}

constexpr std::string_view kChildren = "/children";

// The list of a thread that has ended is empty, and its number may be another thread's by now.
bool is_ambiguous(const Place& place) {
  return place.leaf.ends_with(kChildren) &&
         place.leaf != "task/" + std::to_string(place.pid) + "/children";
}

// Files that the kernel writes as one record: a reading that leaves room was all of it. Others come
// in pieces of a page.
bool is_one_record(std::string_view leaf) {
  if (leaf.starts_with("fdinfo/")) return true;
  static constexpr std::string_view kNames[] = {
      "auxv",        "cmdline", "comm", "coredump_filter", "limits",  "oom_score_adj",
      "personality", "sched",   "stat", "status",          "syscall", "timens_offsets"};
  const std::string_view name = leaf.substr(leaf.rfind('/') + 1);
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

enum class Records : uint8_t { kOne, kMany };
Records records_of(std::string_view leaf) {
  return is_one_record(leaf) ? Records::kOne : Records::kMany;
}

// Nothing if reading fails, as it does once the process is gone. Called under the lock.
std::optional<std::string> read_whole(const Fd& file, Records records) {
  static std::vector<char> buffer(kFirstRead);
  size_t used = 0;
  for (;;) {
    const size_t room = buffer.size() - used;
    const ssize_t got = ::pread(file.get(), buffer.data() + used, room, static_cast<off_t>(used));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    used += static_cast<size_t>(got);
    if (got == 0 || (records == Records::kOne && static_cast<size_t>(got) < room)) break;
    if (used == buffer.size()) buffer.resize(buffer.size() * 2);
  }
  return std::string(buffer.data(), used);
}

}  // namespace

void keep_files(pid_t pid) {
  const std::lock_guard<std::mutex> hold(lock);
  auto found = registry.processes.find(pid);
  if (found != registry.processes.end()) {
    if (found->second.is_there()) return;
    registry.forget(pid);
  }
  Result<Fd> process = pidfd_open(pid);
  if (process.ok()) registry.processes[pid].process = std::move(*process);
}

void forget_files(pid_t pid) {
  const std::lock_guard<std::mutex> hold(lock);
  registry.forget(pid);
}

void forget_memory_files(pid_t pid) {
  const std::lock_guard<std::mutex> hold(lock);
  auto found = registry.processes.find(pid);
  if (found == registry.processes.end()) return;
  registry.files -=
      std::erase_if(found->second.files, [](const auto& item) { return is_of_memory(item.first); });
}

namespace {

// Nothing if the process is gone.
std::optional<std::vector<pid_t>> list_folder(const Fd& folder) {
  struct Entry {  // getdents64(2)
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[1];
  };
  constexpr size_t kBytes = 32768;
  alignas(Entry) uint8_t buffer[kBytes];
  if (::lseek(folder.get(), 0, SEEK_SET) != 0) return std::nullopt;
  std::vector<pid_t> numbers;
  for (;;) {
    const long got = ::syscall(SYS_getdents64, folder.get(), buffer, kBytes);
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
      if (auto number = parse_unsigned(entry->name)) numbers.push_back(static_cast<pid_t>(*number));
      at += entry->bytes;
    }
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

}  // namespace

std::optional<std::vector<pid_t>> list_kept(const std::string& path) {
  const std::lock_guard<std::mutex> hold(lock);
  if (registry.processes.empty()) return std::nullopt;
  const std::optional<Place> place = place_of(path);
  if (!place) return std::nullopt;
  auto kept = registry.processes.find(place->pid);
  if (kept == registry.processes.end() || !kept->second.is_there()) return std::nullopt;
  auto [folder, added] = kept->second.files.try_emplace(place->leaf);
  if (added) {
    ++registry.files;
    folder->second = Fd::adopt(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  std::optional<std::vector<pid_t>> numbers;
  if (folder->second.valid()) numbers = list_folder(folder->second);
  if (numbers) {
    if (registry.files > kFilesMax) registry.close_files(&kept->second);
    return numbers;
  }
  kept->second.files.erase(folder);
  --registry.files;
  return std::nullopt;
}

namespace {

// Reading fails once the thread is gone.
bool is_there(const Fd& witness) {
  char name[64];
  return ::pread(witness.get(), name, sizeof(name), 0) > 0;
}

// An empty list is believed if another file of the same thread, opened by way of the same folder,
// says that the thread is there.
std::optional<Result<std::string>> read_children(Kept* kept, const Place& place) {
  const std::string folder = place.leaf.substr(0, place.leaf.size() - kChildren.size());
  const std::string witness = folder + "/comm as witness";
  const auto known = kept->files.find(place.leaf);
  if (known != kept->files.end()) {
    std::optional<std::string> text = read_whole(known->second, Records::kMany);
    if (text && (!text->empty() || is_there(kept->files.at(witness))))
      return Result<std::string>(std::move(*text));
    kept->files.erase(known);
    kept->files.erase(witness);
    registry.files -= 2;
  }
  const std::string path = "/proc/" + std::to_string(place.pid) + "/" + folder;
  const Fd thread = Fd::adopt(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!thread.valid()) return std::nullopt;
  Fd list = Fd::adopt(::openat(thread.get(), "children", O_RDONLY | O_CLOEXEC));
  Fd comm = Fd::adopt(::openat(thread.get(), "comm", O_RDONLY | O_CLOEXEC));
  if (!list.valid() || !comm.valid()) return std::nullopt;
  std::optional<std::string> text = read_whole(list, Records::kMany);
  if (!text) return std::nullopt;
  if (registry.files > kFilesMax) registry.close_files(kept);
  kept->files.emplace(place.leaf, std::move(list));
  kept->files.emplace(witness, std::move(comm));
  registry.files += 2;
  return Result<std::string>(std::move(*text));
}

}  // namespace

std::optional<std::string> read_kept_link(const std::string& path) {
  const std::lock_guard<std::mutex> hold(lock);
  if (registry.processes.empty()) return std::nullopt;
  const std::optional<Place> place = place_of(path);
  if (!place || place->leaf.find('/') != std::string::npos) return std::nullopt;
  auto kept = registry.processes.find(place->pid);
  if (kept == registry.processes.end()) return std::nullopt;
  auto [folder, added] = kept->second.files.try_emplace("");
  if (added) {
    ++registry.files;
    const std::string all = "/proc/" + std::to_string(place->pid);
    folder->second = Fd::adopt(::open(all.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  char target[PATH_MAX + 64];
  const ssize_t size =
      folder->second.valid()
          ? ::readlinkat(folder->second.get(), place->leaf.c_str(), target, sizeof(target))
          : -1;
  if (size >= 0) return std::string(target, static_cast<size_t>(size));
  // The plain way tells why.
  kept->second.files.erase(folder);
  --registry.files;
  return std::nullopt;
}

std::optional<Result<std::string>> read_kept(const std::string& path) {
  const std::lock_guard<std::mutex> hold(lock);
  if (registry.processes.empty()) return std::nullopt;
  const std::optional<Place> place = place_of(path);
  if (!place) return std::nullopt;
  auto kept = registry.processes.find(place->pid);
  if (kept == registry.processes.end()) return std::nullopt;
  if (is_ambiguous(*place)) return read_children(&kept->second, *place);
  auto [file, added] = kept->second.files.try_emplace(place->leaf);
  if (!added) {
    std::optional<std::string> text = read_whole(file->second, records_of(place->leaf));
    const bool believed =
        text && (!text->empty() || (!is_of_memory(place->leaf) && kept->second.is_there()));
    if (believed) return Result<std::string>(std::move(*text));
  } else {
    ++registry.files;
  }
  file->second = Fd::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::optional<std::string> text;
  if (file->second.valid()) text = read_whole(file->second, records_of(place->leaf));
  if (text) {
    if (registry.files > kFilesMax) registry.close_files(&kept->second);
    return Result<std::string>(std::move(*text));
  }
  // The plain way tells why.
  kept->second.files.erase(file);
  --registry.files;
  return std::nullopt;
}

}  // namespace perdure::kernel::proc
