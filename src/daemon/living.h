// Does a group live without its engine? Read-only, beside whoever holds the store.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace perdure::daemon {

struct LivingGroup {
  pid_t root_pid = 0;  // the command, or the process that was attached; in our PID namespace
  std::vector<pid_t> processes;  // alive now
};

// None if the instance that the folder tells of is gone (other boot, its init or roots ended) or
// was let go.
std::optional<LivingGroup> find_living(const std::string& directory);

}  // namespace perdure::daemon
