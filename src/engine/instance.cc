#include "engine/instance.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

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
  state->end = Fd::adopt(static_cast<int>(syscall(SYS_pidfd_open, root, 0)));
  if (!state->end.valid()) return Error::system(errno, "open a pidfd of", std::to_string(root));
  return {};
}

}  // namespace perdure::engine
