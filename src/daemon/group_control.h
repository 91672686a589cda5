// What the control server asks of the group it serves: engine::Group behind an interface.
// Single-threaded: every call comes from the thread that made the group, which is its tracer.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/options.h"
#include "store/retention.h"

namespace perdure::daemon {

class GroupControl {
 public:
  virtual ~GroupControl() = default;
  virtual Result<engine::CheckpointReport> checkpoint(const engine::CheckpointOptions& options) = 0;
  // Epochs on their way to the disk: readable when take_durable() has something to say; -1: none
  // ever.
  virtual int durable_fd() { return -1; }
  virtual std::vector<engine::DurableEpoch> take_durable() { return {}; }
  // Another epoch now would have to wait for the disk.
  virtual bool disk_is_behind() const { return false; }
  // So many times as slowly as wanted epochs should come, so that the store's space stays bounded.
  virtual double slowdown() const { return 1; }
  virtual uint64_t epochs_in_flight() const { return 0; }
  // Drops the epochs that a policy does not keep; cheap enough for every epoch.
  virtual Status retain(const store::Retention& policy) = 0;
  // Drops all epochs but the newest ones and gives their space back.
  virtual Status keep_newest(uint64_t epochs) = 0;
  // The group may need the engine at a certain time: milliseconds from now, -1 for never; and then.
  virtual int next_service_ms() const { return -1; }
  virtual void serve() {}
  // Pages of a lazy restore that are still to come; and why the group was ended if one cannot.
  virtual uint64_t lazy_pages_left() const { return 0; }
  // Until then detach(), or checkpoint() too, would wait, and everybody with them; serve() finds
  // out.
  virtual bool awaits_pages() const { return false; }
  virtual bool save_awaits_pages() const { return awaits_pages(); }
  virtual std::optional<std::string> lazy_failure() const { return std::nullopt; }
  // SIGKILL to every process; the group has ended when end_fd() is readable.
  virtual Status kill() = 0;
  virtual Status detach() = 0;
  virtual const std::string& name() const = 0;
  virtual int end_fd() const = 0;
  virtual std::optional<int> wait_status() = 0;
  // The pty master; -1 without a terminal.
  virtual int terminal_fd() const = 0;
  virtual std::vector<pid_t> processes() const = 0;
  virtual pid_t root_pid() const = 0;
};

}  // namespace perdure::daemon
