// Signal state, put back by the process and its threads themselves. Every signal is blocked in all
// of the process's threads while these run (Tracee::set_signal_mask), and stays so until the saved
// masks are put back.
#pragma once

#include "object/process.pb.h"
#include "restore/remote_calls.h"

namespace perdure::restore {

// In any thread of the process: every action, saved or default.
void add_actions(const object::Process& process, RemoteCalls* calls);

// In the thread itself; its stack pointer must lie outside of the saved alternate stack.
void add_altstack(const object::Thread& thread, RemoteCalls* calls);

// Pending signals, oldest first, with their saved siginfo: only a task may send itself what the
// kernel sent it (rt_sigqueueinfo(2)). In any thread; and in the thread itself. Before limits,
// which bound the queue.
void add_process_pending(const object::Process& process, RemoteCalls* calls);
void add_thread_pending(const object::Process& process, const object::Thread& thread,
                        RemoteCalls* calls);

}  // namespace perdure::restore
