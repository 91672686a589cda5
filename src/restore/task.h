// What is left of a thread and its process: lists that the kernel walks in the program's memory,
// names, and settings by prctl(2). Each function says where in the order it belongs; the whole
// order, for a process:
//   add_actions, add_*_pending, add_altstack      with all signals blocked
//   add_timer_creation                            in the leader
//   add_thread_registrations                      in each thread, once its memory is there
//   add_personality, add_umask, add_process_settings   in the leader
//   add_limits                                    in the leader
//   add_credentials                               in each thread
//   add_thread_end, add_process_end               in each thread, then in the leader
//   add_timer_arming                              in the leader; then masks, registers, resume
#pragma once

#include "kernel/abi/prctl.h"
#include "object/process.pb.h"
#include "restore/remote_calls.h"

namespace perdure::restore {

// "pid 12 (redis-server)".
std::string name_of(const object::Process& process);

// In a skeleton, while it still has its builder's memory: a forked process keeps its parent's rseq
// registration (rseq_configuration() of the skeleton tells it), and would be killed once that
// memory is gone.
void add_rseq_removal(const kernel::abi::RseqConfiguration& inherited, RemoteCalls* calls);

// In the thread itself: robust futex list, rseq, clear_child_tid, name, timer slack.
void add_thread_registrations(const object::Thread& thread, RemoteCalls* calls);

// In the leader, before the threads are made: they inherit it.
void add_personality(const object::Process& process, RemoteCalls* calls);

// In the leader: umask, subreaper, transparent huge pages, AMX permission.
void add_process_settings(const object::Process& process, RemoteCalls* calls);

// In the thread itself, after its credentials: parent death signal. After the parent lives.
void add_thread_end(const object::Thread& thread, RemoteCalls* calls);

// In the leader, after the credentials of all threads: dumpable, memory-deny-write-execute.
void add_process_end(const object::Process& process, RemoteCalls* calls);

}  // namespace perdure::restore
