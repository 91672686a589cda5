// The life of a group's engine process, and how the command brings it about. The command forks (it
// never executes another program: that would cost more than a restore), the fork becomes a daemon,
// makes or takes over the group, answers Started or Failure over a socket pair, and serves until
// the group ends. That socket pair stays the command's control connection.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "daemon/client.h"
#include "daemon/group_control.h"
#include "daemon/group_settings.h"
#include "daemon/places.h"
#include "object/control.pb.h"

namespace perdure::daemon {

// What the engine does first, in its own process. Nothing of the caller has been given up yet:
// standard streams, working folder and umask are the user's, for the group to inherit.
class EngineTask {
 public:
  virtual ~EngineTask() = default;
  // Becomes the only engine of the group (the store's lock).
  virtual Status lock() = 0;
  // Makes, adopts, takes over or restores the group. started.name and so on are filled in by the
  // caller.
  virtual Result<std::unique_ptr<GroupControl>> begin(control::Started& started) = 0;
  // After a failure of lock() or begin(): undoes what they left behind.
  virtual void undo() {}
  // How often epochs are made, and which stay.
  virtual GroupSettings settings() const { return {}; }
  // The group has ended or was detached, and its engine is about to leave.
  virtual void finish() {}
};

struct LaunchOptions {
  GroupPlace place;
  bool foreground = false;     // the command waits for the group's end
  bool show_terminal = false;  // and shows the group's terminal, if it has one
  char** arguments = nullptr;  // main()'s, for the process title; none in tests
  // Descriptors from 3 on that the user passed. In the foreground the group keeps them all, in the
  // background those that have a name; the engine none.
  std::vector<int> inherited;
};

struct Launched {
  control::Started started;
  Client client;
  Fd terminal;  // the pty's master, if foreground and the group has one
};

// Returns in the command, once the group runs or could not be made. The engine process never
// returns from here.
Result<Launched> launch_engine(const Places& places, const LaunchOptions& options,
                               EngineTask& task);

// The engine's own part, in this process: for launch_engine() and for tests, which run it on a
// thread. The exit code.
int run_engine(const Places& places, const LaunchOptions& options, EngineTask& task, Fd starter);

}  // namespace perdure::daemon
