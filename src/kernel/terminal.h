// The pty of a group that was started on a terminal: its master stays with init and engine, its
// slave is the group's controlling terminal (pty(7)).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace perdure::kernel {

struct TerminalPair {
  Fd master;
  Fd slave;
  dev_t device = 0;  // st_rdev of the slave
};

Result<TerminalPair> open_terminal(uint16_t rows, uint16_t columns);
// st_rdev of the slave of a master.
Result<dev_t> slave_device(const Fd& master);
// termios: struct termios2; empty leaves it.
Status set_terminal_settings(const Fd& terminal, const std::string& termios);

}  // namespace perdure::kernel
