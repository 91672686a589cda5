// Rest: a group in which nobody runs, as it was at one moment. Equal at two moments: no thread of
// it ran in between, so nothing has changed that only a thread of its own can change: mappings and
// their flags, descriptors, credentials, namespaces. (Signals, limits and scheduling can be changed
// by others.)
#pragma once

#include <sys/types.h>

#include <optional>
#include <utility>
#include <vector>

#include "kernel/proc/schedstat.h"

namespace perdure::engine {

class Rest {
 public:
  // Nothing if some thread runs or is about to, ends, or cannot be looked at; or if there are so
  // many that looking would take longer than it saves.
  static std::optional<Rest> of(const std::vector<pid_t>& pids);
  bool operator==(const Rest&) const = default;

 private:
  std::vector<std::pair<pid_t, kernel::proc::RunTime>> threads_;
};

}  // namespace perdure::engine
