// clone3(2) as the engine needs it: children in new namespaces, and children with a pid of their
// own.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>

#include "base/fd.h"
#include "base/result.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace perdure::kernel {

struct SpawnOptions {
  uint64_t flags = 0;    // CLONE_NEW*, CLONE_PARENT
  int exit_signal = 17;  // SIGCHLD
  pid_t pid = 0;         // in the innermost PID namespace; 0: any (clone3's set_tid, Linux 5.5)
};

struct Spawned {
  pid_t pid = 0;
  Fd pidfd;
};

// Forks; the child runs body() and never returns (its value is its exit status). kExists if the pid
// is taken.
Result<Spawned> spawn(const SpawnOptions& options, const std::function<int()>& body);

// From now on children are born in a time namespace whose CLOCK_MONOTONIC and CLOCK_BOOTTIME differ
// from the initial namespace's by these (time_namespaces(7)).
Status enter_time_namespace_for_children(int64_t monotonic_offset_ns, int64_t boottime_offset_ns);

}  // namespace perdure::kernel
