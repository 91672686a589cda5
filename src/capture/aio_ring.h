// Contexts of Linux's own asynchronous I/O (io_setup(2)), which appear as a ring in memory. Many
// programs make one and never use it (nginx without `aio on`).
#pragma once

#include <sys/types.h>

#include "base/ids.h"
#include "base/result.h"

namespace perdure::capture {

// Whether a request was ever completed through the ring at this address. The kernel does not show
// requests under way, so only a ring that nobody used is known to have none, but for a first one
// that takes long.
Result<bool> aio_ring_used(pid_t pid, RemoteAddr ring);

}  // namespace perdure::capture
