// Collect: one stopped process and its threads as records. What cannot be saved is refused here,
// before a byte is stored.
//
// Callers: the tracer thread; the whole group is frozen. Registers, signal masks and memory of the
// process are as before when a function returns, on every path, but for what settling a blocked
// call changes (blocked_call.h) and for the batch area, which stays mapped until leave().
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "capture/blocked_call.h"
#include "capture/freeze.h"
#include "capture/known_process.h"
#include "capture/known_space.h"
#include "capture/process.h"
#include "capture/vmas.h"
#include "kernel/pid_map.h"
#include "kernel/proc/namespaces.h"
#include "kernel/tracee.h"
#include "object/graph.h"
#include "object/id_table.h"

namespace perdure::capture {

// What the engine keeps of a process from one epoch to the next.
struct ProcessMemo {
  pid_t pid = 0;  // in the engine's PID namespace
  uint64_t start_ticks = 0;
  uint32_t executions = 0;  // address spaces that it has had since it was met
  kernel::BatchArea area = kernel::BatchArea::at(RemoteAddr());
  KnownMappings mappings;
  bool tracked = false;  // the engine's write protection is on
  bool served = false;   // and a pager still brings pages of a restore
  KnownProcess known;
  KnownSpace space;
  Fd pidfd;                // once it was needed
  bool unchanged = false;  // since its records were captured, as of this stop

  // Of the object ids.
  std::string key() const {
    return "proc:" + std::to_string(pid) + ":" + std::to_string(start_ticks);
  }
  std::string thread_key(pid_t tid) const { return key() + ":thread:" + std::to_string(tid); }
  std::string space_key() const { return key() + ":space:" + std::to_string(executions); }
};

struct CollectContext {
  object::Graph& graph;
  object::IdTable& ids;
  kernel::PidMap& pids;
  WaitBook& waits;
  MappedFiles& files;
  MemoryObjects& objects;
  const kernel::proc::Namespaces& root_namespaces;
  pid_t engine = 0;
  std::string engine_ipc;  // the engine's own IPC namespace
  uint64_t stopped_at_ns = 0;
  kernel::TaskImages* images = nullptr;  // none: everything is read each time
  bool no_segments = false;              // the group has no SysV shared memory, as an image says
};

struct CollectedProcess {
  ObjectId id;
  ObjectId space;  // 0: zombie
  ProcessView view;
  std::vector<memory::Area> areas;
  std::map<uint64_t, pid_t> tids;  // of threads whose records are lent, by their ids
};

// Makes sure that the batch area is mapped, if it is not there yet (a new process) or no more (it
// executed a program, which counts up memo->executions). inherited: where a parent has one.
// images: may be null. A process that is as its records say is not entered.
Status enter_process(StoppedProcess* process, kernel::BatchArea inherited, ProcessMemo* memo,
                     kernel::TaskImages* images);

// A userfaultfd of the process's own, taken out of it and closed there. Invalid if it cannot have
// one.
Result<Fd> take_userfaultfd(StoppedProcess* process, const ProcessMemo& memo);

// Fills the records of the process, its threads and its address space.
Result<CollectedProcess> collect_process(StoppedProcess* process, ProcessMemo* memo,
                                         CollectContext* context);

// Once the records of the graph are encoded: those of a process that did not change go back to what
// is known of it, so that they need not be copied in a stop. Where this is not done, as after a
// failure, everything is read anew.
void take_back(const CollectedProcess& collected, object::Graph* graph, ProcessMemo* memo);

// Unmaps the batch area.
Status leave_process(StoppedProcess* process, ProcessMemo* memo);

}  // namespace perdure::capture
