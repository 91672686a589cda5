// The foreground: the user's terminal or signals on this side, a running group on the other, until
// it ends or is left.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "daemon/client.h"

namespace perdure::cli {

struct RelayEnd {
  bool left = false;               // the group runs on: the detach key, or the terminal went away
  std::optional<int> wait_status;  // of the command, if it ended and its engine was its parent
};

// A full-screen program draws itself anew when its window changes size.
enum class Redraw : uint8_t { kNo, kYes };

// Shows the group's terminal on standard input and output, which are a terminal, in raw mode. The
// end has been asked for (Client::watch_end(), or a launch in the foreground).
Result<RelayEnd> relay_terminal(daemon::Client& client, Fd master, const std::string& replay,
                                Redraw redraw);

// Waits for the end; signals to this command go to the group's.
Result<RelayEnd> wait_for_end(daemon::Client& client);

// Exit status of the command that waited. Says so on the terminal if the group was left.
int finish_relay(const RelayEnd& end, const std::string& name);

}  // namespace perdure::cli
