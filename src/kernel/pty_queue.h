// What is under way in a pseudo terminal: written to one end and not yet read at the other. The
// kernel offers no way to look at it, so it is read out and written back, with the terminal's modes
// changed so that nothing is echoed or processed a second time, and put back after. Both ends must
// be at rest: every process that could use them is stopped.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace perdure::kernel {

struct PtyQueues {
  std::string output;  // written to the slave, not yet read from the master; as processed
  std::string input;   // written to the master, not yet read from the slave; as processed
  // Canonical mode: the finished lines at the front of `input`, by their sizes in bytes; what
  // follows is a line that is still being typed. `ended` tells of each whether end-of-file ended
  // it, which leaves no character.
  std::vector<uint32_t> lines;
  std::vector<bool> ended;
};

// Reads the queues and writes them back. kBusy, without having touched anything, if the output is
// stopped or full, so that it could not be written back. `slave` -1: no process has the slave open;
// only the output is looked at.
Result<PtyQueues> peek_pty_queues(int master, int slave);
// Fills the queues of a fresh pair.
Status fill_pty_queues(int master, int slave, const PtyQueues& queues);

}  // namespace perdure::kernel
