// SysV shared memory segments of a group's own IPC namespace: all of them, attached or not
// (shmget(2), shmctl(2)).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "capture/memory_objects.h"
#include "object/process.pb.h"

namespace perdure::capture {

// The table of segments of one IPC namespace, open from one epoch to the next: entering a namespace
// takes longer than reading the table.
class SysvTable {
 public:
  // ipc: the link of /proc/PID/ns/ipc.
  Result<std::vector<object::SysvSegment>> read(pid_t pid, const std::string& ipc);

 private:
  std::string namespace_;
  Fd file_;
};

// pid: a stopped process of the group, ipc its IPC namespace. In the engine's own one, which is the
// host's, only segments that the group has mapped are noted, which are those in `objects`.
Status capture_sysv_segments(pid_t pid, const std::string& ipc, const std::string& engine_ipc,
                             SysvTable* table, MemoryObjects& objects, object::Group* group);

}  // namespace perdure::capture
