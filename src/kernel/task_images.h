// TaskImages: what the kernel itself holds of a process and its threads, as bytes to compare. Two
// looks at one process that give the same bytes show the same credentials, limits, namespaces,
// signal actions, settings of prctl(2) and so on, whoever might have changed them; which they are
// is asked through /proc and by calls in the process, once. A look takes a few microseconds and
// stops nothing.
//
// A BPF program that an iterator over the threads of a process calls copies the fields that
// task_images_plan.cc lists to memory that it shares with us. kUnavailable or kPermission where the
// kernel or our privileges do not allow it, or where we are in a PID namespace below the first one.
//
// Two looks are compared by the caller, who says which tasks stand still meanwhile.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"
#include "kernel/bpf.h"
#include "kernel/file_images.h"
#include "kernel/task_images_plan.h"

namespace perdure::kernel {

struct ThreadImage {
  pid_t tid = 0;
  Bytes bytes;           // to compare
  uint64_t sleeps = 0;   // how often it went to sleep (nr_voluntary_switches)
  bool pending = false;  // it has signals of its own
};

// Valid until the next look.
struct TaskLook {
  Bytes process;          // to compare
  Bytes space;            // to compare: the layout of the address space, not its mappings
  uint64_t space_at = 0;  // which address space; another one may have the number later
  uint64_t brk = 0;       // program break
  // Counts who took the lock for changing mappings; odd while somebody has it. Of 32 bits. Nothing
  // where the kernel does not count.
  std::optional<uint32_t> mapping_changes;
  bool pending = false;  // signals of the whole process
  bool timers = false;   // interval timers that run, or POSIX timers
  bool dumping_core = false;
  // In the IPC namespace of the process.
  uint32_t semaphores = 0, message_queues = 0, segments = 0;
  std::vector<ThreadImage> threads;  // the leader first
};

class TaskImages {
 public:
  // Threads of one process; of one with more nothing is told.
  static constexpr uint32_t kThreadsMax = 128;

  static Result<std::unique_ptr<TaskImages>> create(const Btf& btf);
  static Result<std::unique_ptr<TaskImages>> create();

  // kGone if there is no such process; kLimit if it has more threads, groups or nested PID
  // namespaces than an image has room for.
  Result<const TaskLook*> look(pid_t pid);
  // The process has ended.
  void forget(pid_t pid) { links_.erase(pid); }

 private:
  TaskImages(ImagePlan plan, BpfArray processes, BpfArray threads)
      : plan_(std::move(plan)), processes_(std::move(processes)), threads_(std::move(threads)) {}
  Status load(const Btf& btf);
  Status try_on_ourselves();
  Status run(pid_t pid);
  Status take(pid_t pid);

  ImagePlan plan_;
  BpfArray processes_;  // one entry
  BpfArray threads_;
  Fd program_;
  std::map<pid_t, Fd> links_;
  TaskLook look_;
};

// Made when it is first worth the time, if it can be made.
class LazyTaskImages {
 public:
  // Counts; makes it when it was called often. Before a stop.
  void wanted_again();
  // Makes it now: some milliseconds.
  void make();
  void forbid() { forbidden_ = true; }
  // Null: there is none.
  TaskImages* get() { return images_.get(); }
  FileImages* files() { return files_.get(); }
  // The process has ended.
  void forget(pid_t pid);

 private:
  bool forbidden_ = false;
  unsigned wanted_ = 0;
  std::unique_ptr<TaskImages> images_;
  std::unique_ptr<FileImages> files_;
};

}  // namespace perdure::kernel
