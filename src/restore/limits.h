// Resource limits. The last step of a process but for arming timers and resuming: a small limit of
// open files, locked memory or address space would stop the restore itself. Before its credentials
// if a hard limit has to be raised.
#pragma once

#include "object/process.pb.h"
#include "restore/remote_calls.h"

namespace perdure::restore {

// In any thread of the process.
void add_limits(const object::Process& process, RemoteCalls* calls);

}  // namespace perdure::restore
