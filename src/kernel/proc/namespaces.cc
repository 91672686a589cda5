#include "kernel/proc/namespaces.h"

#include "kernel/proc/read.h"

namespace perdure::kernel::proc {
namespace {

constexpr std::array<const char*, kNamespaceCount> kNames = {
    "pid", "pid_for_children", "mnt", "net", "ipc", "uts", "user", "time", "time_for_children"};

}  // namespace

const char* namespace_name(Namespace kind) { return kNames[static_cast<size_t>(kind)]; }

std::optional<Namespace> Namespaces::first_difference(const Namespaces& other) const {
  for (size_t i = 0; i < kNamespaceCount; ++i) {
    if (links_[i] != other.links_[i]) return static_cast<Namespace>(i);
  }
  return std::nullopt;
}

Result<std::string> read_namespace(pid_t pid, Namespace kind) {
  auto link = read_link(path_of(pid, std::string("ns/") + namespace_name(kind)));
  if (!link.ok() && link.error().code() == Code::kUnavailable) return std::string();
  return link;
}

Result<Namespaces> read_namespaces(pid_t pid) {
  Namespaces namespaces;
  for (size_t i = 0; i < kNamespaceCount; ++i) {
    namespaces.links_[i] = PD_TRY(read_namespace(pid, static_cast<Namespace>(i)));
  }
  return namespaces;
}

}  // namespace perdure::kernel::proc
