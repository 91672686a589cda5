// What a caller of the engine asks for, and what it is told.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace perdure::engine {

enum class FilePolicy : uint8_t { kUnchanged, kVolatile };
enum class Terminal : uint8_t { kNone, kNew };

struct TerminalSize {
  uint16_t rows = 24;
  uint16_t columns = 80;
};

struct StartOptions {
  std::string name;
  std::vector<std::string> command;      // looked up in PATH
  std::vector<std::string> environment;  // "NAME=VALUE"
  std::string cwd;
  std::array<int, 3> streams = {0, 1, 2};  // borrowed; used where terminal is kNone
  Terminal terminal =
      Terminal::kNone;  // kNew: a pty of the group's own is its 0, 1, 2 and controlling terminal
  TerminalSize terminal_size;
};

struct AttachOptions {
  std::string name;
  pid_t pid = 0;
};

struct RestoreOptions {
  std::string name;
  Epoch epoch;  // 0: the newest
  FilePolicy files = FilePolicy::kUnchanged;
  bool isolate = false;  // adopted groups: into fresh namespaces
  bool eager = false;    // all memory is loaded before the group runs
  // The group will be: pages that are brought later come write protected, so that epochs can be
  // made before all are there. A first write then takes 0.7 us more.
  bool saved_periodically = false;
  std::array<int, 3> streams = {0, 1,
                                2};  // what standard streams that led outside the group become
  TerminalSize terminal_size;
};

struct CheckpointOptions {
  FilePolicy files = FilePolicy::kUnchanged;
  // false: return once the epoch is captured and on its way to the disk (Group::take_durable()).
  bool durable = true;
};

// An epoch that was on its way to the disk.
struct DurableEpoch {
  Epoch epoch;
  uint64_t lag_ns = 0;  // from captured to known as durable
  uint64_t bytes_written = 0;
  Status status;  // why it is not durable; no later epoch that builds on it is either
};

struct CheckpointReport {
  Epoch epoch;
  bool whole = false;    // all memory, not what has changed since an earlier epoch
  uint64_t stop_us = 0;  // the stop window
  uint64_t precopy_us = 0;
  uint64_t total_us = 0;  // request to durable, or to captured if durability was not waited for
  uint64_t bytes_written = 0;
  uint64_t pages = 0;
  uint64_t held_pages = 0;     // of them, copied after the stop
  uint64_t hot_pages = 0;      // copied in the stop, whether they changed or not
  uint64_t looked_pages = 0;   // of the page tables, in the window, holes included
  uint64_t faulted_pages = 0;  // that cost the program a page fault since the epoch before
  uint64_t burden_ns = 0;  // what the epoch cost the program: the stop and these faults, estimated
  uint64_t processes = 0;
  uint64_t threads = 0;
  std::string timing_json;  // each part of the window, microseconds
};

struct RestoreReport {
  Epoch epoch;
  uint64_t total_us = 0;    // request to the group running
  uint64_t pages = 0;       // loaded by then
  uint64_t lazy_pages = 0;  // that come while it runs
  std::string timing_json;
};

}  // namespace perdure::engine
