#include "kernel/port_holder.h"

#include <cstdio>
#include <optional>

#include "kernel/file.h"
#include "kernel/proc/read.h"

namespace perdure::kernel {
namespace {

constexpr const char* kListening = "0A";

// "  0: 0100007F:0050 00000000:0000 0A ... inode": the inode of a listening socket with that local
// port.
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

bool holds(pid_t pid, const std::string& link) {
  const auto numbers = proc::list_numbers(proc::path_of(pid, "fd"));
  if (!numbers.ok()) return false;
  for (const int fd : *numbers) {
    const auto found = proc::read_link(path_of_fd(pid, fd));
    if (found.ok() && *found == link) return true;
  }
  return false;
}

}  // namespace

std::string find_tcp_port_holder(uint16_t port) {
  std::optional<uint64_t> inode = inode_in("/proc/net/tcp", port);
  if (!inode) inode = inode_in("/proc/net/tcp6", port);
  const auto pids = proc::list_numbers("/proc");
  if (!inode || !pids.ok()) return {};
  const std::string link = "socket:[" + std::to_string(*inode) + "]";
  for (const pid_t pid : *pids) {
    if (!holds(pid, link)) continue;
    const auto comm = proc::read_text(proc::path_of(pid, "comm"));
    if (!comm.ok()) return {};
    return "process " + std::to_string(pid) + " (" + std::string(proc::trimmed(*comm)) + ")";
  }
  return {};
}

}  // namespace perdure::kernel
