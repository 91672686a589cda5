#include "kernel/holder.h"

#include <unistd.h>

#include <cstdio>
#include <functional>
#include <optional>

#include "kernel/file.h"
#include "kernel/proc/read.h"

namespace perdure::kernel {
namespace {

constexpr const char* kListening = "0A";

// "  0: 0100007F:0050 00000000:0000 0A ... inode": the inode of a listening socket with that port.
std::optional<uint64_t> inode_in(const std::string& table, uint16_t port) {
  char suffix[8];
  std::snprintf(suffix, sizeof(suffix), ":%04X", port);
  const auto text = proc::read_text(table);
  if (!text.ok()) return std::nullopt;
  for (const std::string_view line : proc::lines_of(*text)) {
    const auto words = proc::split(line, ' ');
    if (words.size() < 10 || words[3] != kListening || !words[1].ends_with(suffix)) continue;
    return proc::parse_unsigned(words[9]);
  }
  return std::nullopt;
}

using Holds = std::function<bool(const std::string& fd_path)>;

bool has_descriptor(pid_t pid, const Holds& holds) {
  const auto numbers = proc::list_numbers(proc::path_of(pid, "fd"));
  if (!numbers.ok()) return false;
  for (const int fd : *numbers) {
    if (holds(path_of_fd(pid, fd))) return true;
  }
  return false;
}

bool maps_file(pid_t pid, const std::string& path, ino_t inode) {
  const auto maps = proc::read_text(proc::path_of(pid, "maps"));
  const std::string wanted = std::to_string(inode);
  if (!maps.ok() || maps->find(path) == std::string::npos) return false;
  for (const std::string_view line : proc::lines_of(*maps)) {
    const auto words = proc::split(line, ' ');
    if (words.size() >= 6 && words[4] == wanted && line.ends_with(path)) return true;
  }
  return false;
}

std::string name_of(pid_t pid) {
  const auto comm = proc::read_text(proc::path_of(pid, "comm"));
  const std::string process = "pid " + std::to_string(pid);
  return comm.ok() ? process + " (" + std::string(proc::trimmed(*comm)) + ")" : process;
}

std::string find_process(const std::function<bool(pid_t)>& matches) {
  const auto pids = proc::list_numbers("/proc");
  if (!pids.ok()) return {};
  for (const pid_t pid : *pids) {
    if (matches(pid)) return name_of(pid);
  }
  return {};
}

}  // namespace

std::string find_tcp_port_holder(uint16_t port) {
  std::optional<uint64_t> inode = inode_in("/proc/net/tcp", port);
  if (!inode) inode = inode_in("/proc/net/tcp6", port);
  if (!inode) return {};
  const std::string link = "socket:[" + std::to_string(*inode) + "]";
  const Holds holds = [&link](const std::string& fd_path) {
    const auto found = proc::read_link(fd_path);
    return found.ok() && *found == link;
  };
  return find_process([&holds](pid_t pid) { return has_descriptor(pid, holds); });
}

std::string find_file_holder(const std::string& path, const struct stat& file) {
  const Holds holds = [&file](const std::string& fd_path) {
    const auto found = stat_path(fd_path);
    return found.ok() && found->st_ino == file.st_ino && found->st_dev == file.st_dev;
  };
  const auto own = proc::read_link("/proc/self");
  return find_process([&](pid_t pid) {
    if (own.ok() && *own == std::to_string(pid)) return false;
    return has_descriptor(pid, holds) || maps_file(pid, path, file.st_ino);
  });
}

}  // namespace perdure::kernel
