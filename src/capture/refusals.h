// What makes a process or thread impossible to save. Every check names the process, the reason and
// what to do, and runs before a byte is stored. All threads are stopped and seized by the calling
// thread. Only check_process takes zombies.
#pragma once

#include <sys/types.h>

#include <array>
#include <span>

#include "base/result.h"
#include "capture/process.h"
#include "kernel/proc/namespaces.h"
#include "kernel/proc/status.h"
#include "kernel/tracee.h"

namespace perdure::capture {

// Core dumps in progress, a main thread that ended before the others.
Status check_process(const ProcessView& process);

// Seccomp, shadow stacks, another tracer. engine: the pid (or tid) that traces the group.
Status check_thread(const ProcessView& process, const kernel::proc::TaskStatus& thread,
                    pid_t engine);

// 32-bit code.
Status check_registers(const ProcessView& process, const kernel::Registers& registers);

// What all threads of a process must share with its leader: descriptors and folders; and what none
// may have: system calls that go to user space.
Status check_thread_sharing(const ProcessView& process, pid_t tid);

// Processes that share memory, descriptors, folders or signal handlers without being threads of
// one.
Status check_processes_apart(std::span<const ProcessView* const> processes);

// Every process is in the namespaces of the group's root, and has its children there.
Status check_namespaces(const ProcessView& process, const kernel::proc::Namespaces& own,
                        const kernel::proc::Namespaces& root);
// An adopted group comes back in the engine's namespaces: it has to be there. Time is set apart by
// every restore.
Status check_engine_namespaces(pid_t root, const kernel::proc::Namespaces& own,
                               const kernel::proc::Namespaces& engine);
// Threads may have left their leader's network, IPC or UTS namespace (setns(2)).
Status check_thread_namespaces(const ProcessView& process, pid_t tid,
                               const kernel::proc::Namespaces& leader);

// Settings that only the thread itself can ask for, and that are not kept: they must be as a new
// process has them.
class UnusualQuery {
 public:
  static UnusualQuery add(kernel::Batch* batch);
  Status check(const kernel::Batch& batch, const ProcessView& process) const;

 private:
  std::array<size_t, 3> speculation_ = {};
  size_t tsc_ = 0, cpuid_ = 0, policy_ = 0, segments_ = 0;
  RemoteAddr tsc_answer_, policy_answer_;
};

// How many there are in a group's own IPC namespace.
Status check_sysv(const ProcessView& process, uint64_t semaphores, uint64_t queues);

// SysV semaphores and message queues in the IPC namespace of a group that has one of its own; the
// batch runs in any of its threads.
class SysvQuery {
 public:
  static SysvQuery add(kernel::Batch* batch);
  Status check(const kernel::Batch& batch, const ProcessView& process) const;

 private:
  size_t semaphores_ = 0, queues_ = 0;
  RemoteAddr semaphores_answer_, queues_answer_;
};

}  // namespace perdure::capture
