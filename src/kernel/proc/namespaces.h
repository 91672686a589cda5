// /proc/PID/ns (namespaces(7)): which namespaces a task is in. Two tasks share one if the links are
// equal.
#pragma once

#include <sys/types.h>

#include <array>
#include <optional>
#include <string>

#include "base/result.h"

namespace perdure::kernel::proc {

// kPidChildren and kTimeChildren are where the task's next children will be.
enum class Namespace : size_t {
  kPid,
  kPidChildren,
  kMount,
  kNetwork,
  kIpc,
  kUts,
  kUser,
  kTime,
  kTimeChildren
};
inline constexpr size_t kNamespaceCount = 9;

const char* namespace_name(Namespace kind);  // as in /proc/PID/ns: "net"

class Namespaces {
 public:
  // The link as the kernel gives it, "net:[4026531840]"; empty if this kernel has no such
  // namespace.
  const std::string& link(Namespace kind) const { return links_[static_cast<size_t>(kind)]; }
  // The first kind in which two tasks differ.
  std::optional<Namespace> first_difference(const Namespaces& other) const;

 private:
  friend Result<Namespaces> read_namespaces(pid_t pid);
  std::array<std::string, kNamespaceCount> links_;
};

// One link; empty if this kernel has no such namespace. pid may be a tid.
Result<std::string> read_namespace(pid_t pid, Namespace kind);
// pid may be a tid. A zombie has left all of its namespaces but the PID and user ones: kGone.
Result<Namespaces> read_namespaces(pid_t pid);

}  // namespace perdure::kernel::proc
