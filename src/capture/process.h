// Process records: what /proc tells from outside (read_process), and what only the process itself
// can ask (ProcessQuery). The caller holds all threads stopped. Not filled here: threads,
// address_space, executable_file, fds, locks, pending (put_pending), start_serial; and STOPPED with
// its signal, which a tracer learns (Tracee::stop_kind).
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/result.h"
#include "capture/signals.h"
#include "capture/timers.h"
#include "kernel/pid_map.h"
#include "kernel/proc/stat.h"
#include "kernel/proc/status.h"
#include "kernel/tracee.h"
#include "object/process.pb.h"

namespace perdure::capture {

// What was read, as far as later steps need it. Pids are the engine's.
struct ProcessView {
  pid_t pid = 0;
  kernel::proc::Stat stat;
  kernel::proc::TaskStatus status;  // of the leader

  // "pid 12 (redis-server)", with the number that the program sees.
  std::string name() const;
};

// Fills a fresh record. A zombie has only ids, name, exit code and exit signal. parent_pid is 0 if
// the parent lies outside the process's PID namespace; the caller clears it for the group's root.
Result<ProcessView> read_process(pid_t pid, kernel::PidMap* pids, object::Process* record);
// The same with what was read already.
Result<ProcessView> read_process(pid_t pid, kernel::proc::Stat stat,
                                 kernel::proc::TaskStatus status, kernel::PidMap* pids,
                                 object::Process* record);

// Of it, names of files, which others change, and the command line, which the program writes like
// other memory. Whether the record is another one then.
Result<bool> read_places(pid_t pid, object::Process* record);

// Calls added to a batch that runs in the leader of the stopped process (any thread, if the leader
// is a zombie).
class ProcessQuery {
 public:
  static ProcessQuery add(const ProcessView& view, const object::Process& record,
                          kernel::Batch* batch);
  Status decode(const kernel::Batch& batch, object::Process* record) const;

 private:
  ActionQuery actions_;
  TimerQuery timers_;
  size_t dumpable_ = 0, subreaper_ = 0, thp_ = 0, mdwe_ = 0, xstate_ = 0;
  RemoteAddr subreaper_answer_, xstate_answer_;
};

}  // namespace perdure::capture
