// Noting a new instance of a group: in the state and in the store's instance file, for a later
// takeover.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/state.h"
#include "restore/init.h"

namespace perdure::engine {

struct NewInstance {
  restore::Init* init = nullptr;
  pid_t main_pid = 0;  // as the init sees it
  Fd terminal;         // pty master, if any
};

// A group with namespaces of its own: its init is let live without us.
Status settle_instance(NewInstance made, GroupState* state);
// A group below a process in the host's namespaces. child: it is ours to wait for.
enum class Kinship : uint8_t { kChild, kStranger };
Status settle_tree(pid_t root, Kinship kinship, GroupState* state);

// What the instance file in a store's folder says of the instance that runs, if one does: no lock
// is needed.
struct InstanceInfo {
  pid_t root_pid = 0;
  std::vector<pid_t> processes;  // alive, in our PID namespace
  bool own_namespaces = false;
  uint64_t serial = 0;
};
std::optional<InstanceInfo> read_instance(const std::string& directory);

}  // namespace perdure::engine
