// Group: the engine's hold on one running group, from whichever side it came: started, adopted,
// taken over or restored. All calls come from the one thread that made it (it is the ptrace
// tracer). Destroying it lets the group run on.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/options.h"
#include "store/store.h"

namespace perdure::engine {

class GroupState;

class Group {
 public:
  // Starts a command as a group of its own.
  static Result<std::unique_ptr<Group>> start(const StartOptions& options,
                                              std::unique_ptr<store::Store> store);
  // Adopts the process tree below a running process.
  static Result<std::unique_ptr<Group>> attach(const AttachOptions& options,
                                               std::unique_ptr<store::Store> store);
  // Takes over a group whose engine died: the store's instance file tells its processes.
  static Result<std::unique_ptr<Group>> take_over(std::unique_ptr<store::Store> store);
  // Brings an epoch back to life.
  static Result<std::unique_ptr<Group>> restore(const RestoreOptions& options,
                                                std::unique_ptr<store::Store> store);

  explicit Group(std::unique_ptr<GroupState> state);
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group();

  // Saves the group's state; returns when the epoch is durable, if the options say so, else when it
  // is on its way. On any failure the group runs on and the store holds what it held before.
  Result<CheckpointReport> checkpoint(const CheckpointOptions& options);
  // Readable when epochs that were on their way may have arrived; and those that have, in order.
  int durable_fd();
  std::vector<DurableEpoch> take_durable();
  uint64_t epochs_in_flight() const;
  // The next epoch would have to wait for the disk, or for missing pages.
  bool disk_is_behind() const;
  // So many times as slowly as wanted epochs should come, so that the store's space stays bounded.
  double slowdown() const;
  // Between checkpoints the engine may have to act at a certain time: milliseconds from now, -1 for
  // never; and acting.
  int next_service_ms() const;
  void serve();
  // Pages of a lazy restore that are still to come; why the group was ended, if one could not.
  uint64_t lazy_pages_left() const;
  // detach() waits for them, and checkpoint() where it has to; serve() finds out that the last one
  // is there.
  bool awaits_pages() const;
  bool save_awaits_pages() const;
  std::optional<std::string> lazy_failure() const;
  // SIGKILL to every process of the group.
  Status kill();
  // Removes every trace from the group's processes and forgets them; they run on.
  Status detach();

  const std::string& name() const;
  // A pidfd that becomes readable when the group has ended; -1 once it has been waited for.
  int end_fd() const;
  // After end_fd() became readable: the wait(2) status of the group's command, if this engine is
  // its parent.
  std::optional<int> wait_status();
  // The pty master of a group with a terminal; invalid otherwise. Stays owned here.
  int terminal_fd() const;
  // For ps: processes alive now, in the engine's PID namespace.
  std::vector<pid_t> processes() const;
  pid_t root_pid() const;
  const std::optional<RestoreReport>& restore_report() const;
  store::Store& store();

 private:
  std::unique_ptr<GroupState> state_;
};

}  // namespace perdure::engine
