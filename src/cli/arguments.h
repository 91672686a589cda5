// What the user asked for: the command line as a value. Parsing has no effect on anything.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "cli/moment.h"
#include "engine/options.h"
#include "store/retention.h"

namespace perdure::cli {

enum class Verb : uint8_t {
  kRun,
  kAttach,
  kDetach,
  kCheckpoint,
  kRestore,
  kPause,
  kResume,
  kPs,
  kLog,
  kKill,
  kRm,
  kShow,
  kDump,
  kDiff,
  kScrub,
  kCheck,
};

struct Arguments {
  Verb verb = Verb::kPs;
  std::string store;     // --store; empty: the default, or wherever the named group is
  std::string name;      // the group; empty: a name made of the command, or the only group there is
  std::string new_name;  // restore --name
  std::vector<std::string> names;    // kill, rm
  std::vector<std::string> command;  // run
  std::string target;                // attach: PID or NAME
  Epoch epoch;                       // restore, show, dump, diff: 0 is the newest
  Epoch other_epoch;                 // diff: the second one
  std::optional<Moment> at;          // restore, dump: the newest epoch captured by then
  std::optional<uint64_t> back_ns;   // restore, dump: as long before the newest
  std::optional<Moment> since;       // log: from then on
  std::optional<uint64_t> since_ns;  // log: from so long before the newest on
  std::optional<uint64_t> newest;    // log: so many rows
  std::optional<uint64_t> thin_ns;   // log: one epoch of each interval; 0: all, also on a terminal
  std::string output;                // dump: where the core goes
  std::optional<int> pid;            // dump: of several processes
  bool graph = false;                // log
  bool timing = false;               // log
  engine::FilePolicy files = engine::FilePolicy::kUnchanged;
  std::optional<uint64_t> every_ns;           // run, attach, restore, resume: between epochs
  std::optional<uint64_t> keep;               // checkpoint: how many epochs stay
  std::optional<store::Retention> retention;  // run, attach, restore: which stay
  std::optional<bool> compress;               // store epochs compressed, from now on
  std::optional<uint16_t> metrics_port;       // run, attach, restore: 0: none
  bool background = false;                    // -d
  bool isolate = false;
  bool eager = false;  // restore
  bool wait = false;
  bool force = false;  // rm
  bool json = false;
  bool names_only = false;  // ps
  bool watch = false;       // ps
  bool metrics = false;     // ps
  bool all = false;         // diff: every range
};

// Either arguments, or what to print and the status to exit with (help, version, a mistake).
struct Parsed {
  std::optional<Arguments> arguments;
  int exit_status = 0;
  std::string output;   // for standard output
  std::string mistake;  // what is wrong with the command line
  std::string remedy;
};

Parsed parse_arguments(const std::vector<std::string>& words);

}  // namespace perdure::cli
