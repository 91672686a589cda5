#include "engine/instance.h"

#include <unistd.h>

#include <cerrno>

#include "kernel/pidfd.h"
#include "kernel/proc/stat.h"
#include "kernel/terminal.h"

namespace perdure::engine {

Status settle_instance(NewInstance made, GroupState* state) {
  const pid_t pid = made.init->pid();
  object::Instance& instance = state->instance;
  instance.set_name(state->name);
  instance.set_boot_id(PD_TRY(read_boot_id()));
  instance.set_own_namespaces(true);
  instance.set_init_pid(pid);
  instance.set_init_start_ticks(PD_TRY(kernel::proc::read_stat(pid)).start_ticks);
  instance.set_main_pid(made.main_pid);
  instance.set_serial(instance.serial() + 1);
  std::vector<int> keep;
  if (made.terminal.valid()) {
    keep.push_back(made.terminal.get());
    instance.set_terminal_fd(made.terminal.get());
    state->terminal_device = PD_TRY(kernel::slave_device(made.terminal));
    state->terminal = std::move(made.terminal);
  }
  PD_TRY(save_instance(*state));
  PD_TRY(made.init->release(made.main_pid, keep));
  state->scope.init = pid;
  state->waited_pid = pid;
  state->end = made.init->take_pidfd();
  return {};
}

Status settle_tree(pid_t root, Kinship kinship, GroupState* state) {
  object::Instance& instance = state->instance;
  instance.set_name(state->name);
  instance.set_boot_id(PD_TRY(read_boot_id()));
  instance.set_own_namespaces(false);
  instance.add_roots(root);
  instance.add_root_start_ticks(PD_TRY(kernel::proc::read_stat(root)).start_ticks);
  instance.set_serial(instance.serial() + 1);
  PD_TRY(save_instance(*state));
  state->scope.roots.push_back(root);
  state->waited_pid = kinship == Kinship::kChild ? root : 0;
  state->end = PD_TRY(kernel::pidfd_open(root));
  return {};
}

std::optional<InstanceInfo> read_instance(const std::string& directory) {
  Result<object::Instance> instance = load_instance(directory);
  Result<std::string> boot = read_boot_id();
  if (!instance.ok() || !boot.ok() || instance->boot_id() != *boot) return std::nullopt;
  auto runs = [](pid_t pid, uint64_t ticks) {
    Result<kernel::proc::Stat> stat = kernel::proc::read_stat(pid);
    return stat.ok() && stat->start_ticks == ticks && !stat->is_zombie();
  };
  capture::Scope scope;
  if (instance->own_namespaces()) {
    if (!runs(instance->init_pid(), instance->init_start_ticks())) return std::nullopt;
    scope.init = instance->init_pid();
  }
  for (int i = 0; i < instance->roots_size() && i < instance->root_start_ticks_size(); ++i) {
    if (runs(instance->roots(i), instance->root_start_ticks(i)))
      scope.roots.push_back(instance->roots(i));
  }
  if (scope.init == 0 && scope.roots.empty()) return std::nullopt;
  InstanceInfo info;
  info.own_namespaces = instance->own_namespaces();
  info.serial = instance->serial();
  Result<std::vector<pid_t>> pids = capture::list_processes(scope);
  if (pids.ok()) info.processes = std::move(pids).value();
  if (!info.processes.empty()) info.root_pid = info.processes.front();
  return info;
}

}  // namespace perdure::engine
