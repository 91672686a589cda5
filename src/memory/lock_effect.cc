#include "memory/lock_effect.h"

#include <linux/futex.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include <algorithm>

#include "base/limits.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

namespace perdure::memory {
namespace {

using Reach = LockEffect::Reach;

// task_struct.flags: kernel threads, and workers of io_uring and vhost, whose system call means
// nothing.
constexpr uint64_t kWorkers = 0x00200000 | 0x00000010 | 0x00004000;
constexpr uint64_t kCompatible = 2;  // thread_info.status: the call came from 32-bit code
constexpr uint64_t kAddressMax = uint64_t{1} << 56;

LockEffect nothing() { return {Reach::kNothing, 0, 0}; }
LockEffect everything() { return {}; }
LockEffect only_unprotects(LockEffect effect) {
  effect.only_unprotects = true;
  return effect;
}

LockEffect within(Reach reach, uint64_t start, uint64_t length) {
  if (start >= kAddressMax || length >= kAddressMax) return everything();
  if (length == 0) return nothing();
  return {reach, start / kPageSize * kPageSize,
          (start + length + kPageSize - 1) / kPageSize * kPageSize};
}

// The heap ends at break_end and is to end at `wanted`: it shrinks, grows, or is only asked for.
LockEffect effect_of_brk(uint64_t wanted, uint64_t break_end) {
  if (wanted == 0 || wanted >= break_end) return nothing();
  return within(Reach::kMappings, wanted, break_end - wanted);
}

// A futex that processes may share is found by its page, which for that is made ready to be written
// as if it were; what any futex locks it tries to write first, which is a fault.
LockEffect effect_of_futex(const uint64_t* argument) {
  const auto operation = static_cast<int>(argument[1]);
  if ((operation & FUTEX_PRIVATE_FLAG) != 0) return nothing();
  switch (operation & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAKE:
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAKE_BITSET:
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_UNLOCK_PI:
    case FUTEX_TRYLOCK_PI:
      return only_unprotects(within(Reach::kPages, argument[0], sizeof(uint32_t)));
    default:  // those with two futexes
      return only_unprotects(everything());
  }
}

// Calls that reach memory by copying to and from it, and in no other way. That takes the lock only
// in a fault, which is recorded as such.
bool only_copies(uint64_t call) {
  switch (call) {
    case SYS_wait4:
    case SYS_waitid:
    case SYS_rt_sigaction:
    case SYS_rt_sigprocmask:
    case SYS_rt_sigreturn:
    case SYS_rt_sigsuspend:
    case SYS_rt_sigtimedwait:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_select:
    case SYS_pselect6:
    case SYS_epoll_ctl:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_clock_gettime:
    case SYS_gettimeofday:
    case SYS_sched_yield:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_accept:
    case SYS_accept4:
    case SYS_connect:
    case SYS_getdents64:
    case SYS_stat:
    case SYS_fstat:
    case SYS_lstat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_open:
    case SYS_openat:
    case SYS_close:
    case SYS_pipe2:
    case SYS_getrandom:
    case SYS_getrusage:
    case SYS_timer_settime:
    case SYS_timerfd_settime:
    case SYS_set_robust_list:
      return true;
    default:
      return false;
  }
}

// A call of a task that runs in the address space itself.
LockEffect effect_of_own(const LockRecord& record) {
  const uint64_t* const argument = record.arguments;
  switch (static_cast<uint32_t>(record.call)) {  // the rest may be a mark (capture/blocked_call.h)
    case SYS_munmap:
      return within(Reach::kMappings, argument[0], argument[1]);
    case SYS_mmap:  // elsewhere than at a fixed address there was nothing before
      if ((argument[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE)) == 0) return nothing();
      return within(Reach::kMappings, argument[0], argument[1]);
    case SYS_brk:
      return effect_of_brk(argument[0], record.break_end);
    case SYS_madvise:
    case SYS_mprotect:
    case SYS_pkey_mprotect:
    case SYS_mlock:
    case SYS_mlock2:
    case SYS_munlock:
      return within(Reach::kPages, argument[0], argument[1]);
    case SYS_read:  // with O_DIRECT the disk writes into the buffer
    case SYS_pread64:
    case SYS_recvfrom:
      return within(Reach::kDirectReads, argument[1], argument[2]);
    case SYS_prctl:  // names a mapping
      return argument[0] == PR_SET_VMA ? nothing() : everything();
    case SYS_futex:
      return effect_of_futex(argument);
    case SYS_exit:  // the last look at the lock comes after robust futexes were released
    case SYS_exit_group:
      return record.robust_list == 0 ? nothing() : everything();
    case SYS_mincore:  // only look
    case SYS_process_vm_readv:
    case SYS_execve:  // leave the address space
    case SYS_execveat:
      return nothing();
    case SYS_clone:  // copy the page tables for a child
    case SYS_clone3:
    case SYS_fork:
    case SYS_vfork:
      return {.reach = Reach::kNothing, .shares = true};
    case SYS_restart_syscall:  // goes on to wait, perhaps at a futex
      return only_unprotects(everything());
    default:
      return only_copies(static_cast<uint32_t>(record.call)) ? nothing() : everything();
  }
}

LockEffect effect_of_ptrace(const uint64_t* argument) {
  switch (argument[0]) {
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA:
      return nothing();
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA:
      return within(Reach::kPages, argument[2], sizeof(uint64_t));
    default:
      return everything();
  }
}

// A call of another process: it looks into /proc/PID, or writes this one's memory.
LockEffect effect_of_foreign(const LockRecord& record) {
  const uint64_t* const argument = record.arguments;
  switch (static_cast<uint32_t>(record.call)) {  // the rest may be a mark (capture/blocked_call.h)
    case SYS_readv:
    case SYS_open:
    case SYS_openat:
    case SYS_readlink:
    case SYS_readlinkat:
    case SYS_stat:
    case SYS_lstat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_statfs:
    case SYS_getdents64:
      return nothing();
    case SYS_ptrace:
      return effect_of_ptrace(argument);
    case SYS_process_vm_writev:
      if (argument[4] != 1) return everything();
      return within(Reach::kPages, record.remote_start, record.remote_length);
    case SYS_pwrite64:  // /proc/PID/mem, where offsets are addresses
      return within(Reach::kPages, argument[3], argument[2]);
    default:
      return everything();
  }
}

}  // namespace

LockEffect effect_of(const LockRecord& record) {
  if ((record.task_flags & kWorkers) != 0 || (record.status & kCompatible) != 0) {
    return everything();
  }
  return record.own != 0 ? effect_of_own(record) : effect_of_foreign(record);
}

}  // namespace perdure::memory
