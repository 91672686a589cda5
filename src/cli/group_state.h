// What ps knows of a group: from its engine if there is one, else from what the store and the
// kernel tell.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "daemon/end_note.h"
#include "daemon/places.h"
#include "object/control.pb.h"
#include "store/epoch_writer.h"

namespace perdure::cli {

struct GroupState {
  enum class Running : uint8_t {
    kYes,
    kBusy,      // its engine does not answer yet
    kNoEngine,  // it runs, its engine died
    kNo,
  };
  std::string name;
  std::string store;
  Running running = Running::kNo;
  pid_t engine_pid = 0;
  pid_t root_pid = 0;
  std::vector<pid_t> processes;
  bool has_terminal = false;
  uint64_t lazy_pages_left = 0;                // that its restore has still to load
  uint16_t metrics_port = 0;                   // 0: none
  std::optional<control::Persistence> counts;  // of the epochs that its engine has made
  std::optional<daemon::EndNote> end;
  std::string damage;  // why the store cannot be read; empty if it can
  size_t epochs = 0;
  std::optional<store::EpochInfo> newest;
  uint64_t bytes = 0;  // on disk

  // "running", "no engine", "ended: exited with status 3", "lost", ...
  std::string text() const;
};

GroupState look_at_group(const daemon::GroupPlace& place);
// Without the store: running, engine and processes only.
GroupState look_for_processes_of(const daemon::GroupPlace& place);

}  // namespace perdure::cli
