// SysV shared memory segments of a group's own IPC namespace: all of them, attached or not
// (shmget(2), shmctl(2)).
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "capture/memory_objects.h"
#include "object/process.pb.h"

namespace perdure::capture {

// pid: a stopped process of the group. In the host's IPC namespace only segments that the group has
// mapped are noted, which are those in `objects`.
Status capture_sysv_segments(pid_t pid, MemoryObjects& objects, object::Group* group);

}  // namespace perdure::capture
