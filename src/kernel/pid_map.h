// Translates the engine's pids and tids into those that the program sees in its own PID namespace.
// What is asked for more than once is read once: the numbers of a task never change while it lives,
// so forget() only those that died.
#pragma once

#include <sys/types.h>

#include <unordered_map>

#include "base/result.h"

namespace perdure::kernel {

class PidMap {
 public:
  void bind(pid_t outer, pid_t inner) { inner_[outer] = inner; }
  void forget(pid_t outer) {
    inner_.erase(outer);
    depth_.erase(outer);
  }
  void clear() {
    inner_.clear();
    depth_.clear();
  }
  // The number in the task's own (innermost) PID namespace; 0 stays 0.
  Result<pid_t> inner(pid_t outer);
  // How many PID namespaces the task lies in, counted from the engine's.
  Result<size_t> depth(pid_t outer);

 private:
  std::unordered_map<pid_t, pid_t> inner_;
  std::unordered_map<pid_t, size_t> depth_;
};

}  // namespace perdure::kernel
