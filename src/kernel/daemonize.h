// Becoming a process of one's own: the steps by which the command turns a fork of itself into a
// group's engine.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace perdure::kernel {

enum class Side : uint8_t { kCaller, kDaemon };

// Forks twice: the daemon leads no session, so no terminal that it opens becomes its own, and its
// parent does not wait for it. The process must have one thread. kCaller returns once the
// intermediate process is gone.
Result<Side> fork_daemon();

// Points 0, 1 and 2 to /dev/null and makes / the working directory: a daemon keeps no file, pipe or
// folder of its caller.
Status leave_caller();
// Points one descriptor to /dev/null.
Status silence(int number);
// True if a descriptor leads to something that only the caller knows: a terminal, an anonymous pipe
// or a socket; or it is closed. False for files, FIFOs and devices, which have a name.
bool is_callers_own(int number);

// Open descriptors from 3 on, for closing later.
std::vector<int> inherited_descriptors();
void close_descriptors(const std::vector<int>& numbers);

// What ps(1) shows of this process. The area that holds the arguments is overwritten and zeroed,
// the environment is moved out of its way first. Called once, with main()'s arguments.
void set_process_title(char** arguments, const std::string& title, const std::string& comm);

}  // namespace perdure::kernel
