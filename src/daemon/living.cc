#include "daemon/living.h"

#include <algorithm>

#include "capture/freeze.h"
#include "daemon/end_note.h"
#include "engine/state.h"
#include "kernel/proc/stat.h"

namespace perdure::daemon {
namespace {

// The same process still, and not only its number.
bool is_alive(pid_t pid, uint64_t start_ticks) {
  auto stat = kernel::proc::read_stat(pid);
  return stat.ok() && stat->start_ticks == start_ticks && !stat->is_zombie();
}

capture::Scope living_scope(const object::Instance& instance) {
  capture::Scope scope;
  if (instance.own_namespaces()) {
    if (is_alive(instance.init_pid(), instance.init_start_ticks()))
      scope.init = instance.init_pid();
    return scope;
  }
  int count = std::min(instance.roots_size(), instance.root_start_ticks_size());
  for (int at = 0; at < count; ++at) {
    if (is_alive(instance.roots(at), instance.root_start_ticks(at)))
      scope.roots.push_back(instance.roots(at));
  }
  return scope;
}

}  // namespace

std::optional<LivingGroup> find_living(const std::string& directory) {
  // The processes of a detached group run on, but are no group any more.
  if (read_end_note(directory)) return std::nullopt;
  auto instance = engine::load_instance(directory);
  auto boot = engine::read_boot_id();
  if (!instance.ok() || !boot.ok() || instance->boot_id() != *boot) return std::nullopt;
  capture::Scope scope = living_scope(*instance);
  if (scope.init == 0 && scope.roots.empty()) return std::nullopt;
  LivingGroup living;
  auto processes = capture::list_processes(scope);
  if (processes.ok()) living.processes = std::move(*processes);
  if (!living.processes.empty()) living.root_pid = living.processes.front();
  return living;
}

}  // namespace perdure::daemon
