// Persistence: saves a group when it is due, keeps count, and drops epochs that are no longer
// wanted. The server's event loop asks it when to wake up, and calls it.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "daemon/group_control.h"
#include "daemon/group_settings.h"
#include "daemon/histogram.h"
#include "daemon/log.h"
#include "daemon/pacer.h"
#include "object/control.pb.h"

namespace perdure::daemon {

class Persistence {
 public:
  Persistence(GroupControl& group, const Clock& clock, Log& log);

  // What stays after each epoch, and how often one is made.
  void configure(const GroupSettings& settings);
  void set_period(uint64_t period_ns);
  void pause();
  void resume();
  // The group is about to end: what is left of it is worth no epoch.
  void stop() { set_period(0); }

  // When serve() has something to do, CLOCK_MONOTONIC.
  std::optional<uint64_t> due_ns() const { return pacer_.due_ns(); }
  void serve();
  // The group's durable_fd() is readable.
  void take_durable();

  // On request; waits until the epoch is durable if the options say so. keep: the newest epochs
  // that stay afterwards; 0: by the settings.
  Result<engine::CheckpointReport> save(const engine::CheckpointOptions& options, uint64_t keep);

  void describe(control::Persistence& reply) const;

 private:
  Result<engine::CheckpointReport> attempt(const engine::CheckpointOptions& options);
  void failed(const Error& error);
  void drop_old(uint64_t keep);
  void look_at_processors(uint64_t now_ns);

  GroupControl& group_;
  const Clock& clock_;
  Log& log_;
  Pacer pacer_;
  GroupSettings settings_;
  uint64_t begun_ns_;
  // When the processors were looked at last, and for how long tasks had waited for them until then.
  uint64_t looked_ns_ = 0, pressure_us_ = 0;

  Histogram stops_;
  uint64_t stop_max_us_ = 0;
  uint64_t captured_ = 0, durable_ = 0, failures_ = 0;
  uint64_t copied_bytes_ = 0, written_bytes_ = 0;
  uint64_t lag_last_ns_ = 0, lag_max_ns_ = 0;
  Epoch newest_captured_, newest_durable_;
  // While it lasts: why the last epoch failed, and why older ones could not be dropped.
  std::optional<Error> last_error_, drop_error_;
};

}  // namespace perdure::daemon
