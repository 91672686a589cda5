// What the programs of a write guide (guide_programs.h) and the guide share about one address
// space.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure::memory {

// A block is what one fault can change at most: a huge page. Bit (address >> kBlockShift) modulo
// kBlockBits stands for it, so addresses 128 GiB apart share one, which only means looking at more.
inline constexpr uint64_t kBlockShift = 21;
inline constexpr uint64_t kBlockBits = 65536;
inline constexpr uint64_t kBlockWords = kBlockBits / 64;
// Calls that took the lock of an address space from one look at the guide to the next; with more,
// everything counts as touched. A power of two.
inline constexpr uint64_t kLockRecords = 256;

// Somebody took the lock of the address space (mm_struct.mmap_lock), or another process gave it
// back.
struct LockRecord {
  uint64_t number = 0;       // from 1, written last: until then the record is not complete
  uint64_t own = 0;          // whether the task runs in this address space
  uint64_t task_flags = 0;   // task_struct.flags
  uint64_t status = 0;       // thread_info.status
  uint64_t robust_list = 0;  // task_struct.robust_list: futexes to be released at its end
  uint64_t call = 0;         // the system call that the task is in
  uint64_t arguments[6] = {};
  uint64_t break_end = 0;     // mm_struct.brk
  uint64_t remote_start = 0;  // process_vm_writev: the first iovec of the other side
  uint64_t remote_length = 0;
};

struct SpaceState {
  uint64_t touched[kBlockWords] = {};
  uint64_t distrusted = 0;  // something went on that the guide cannot follow
  uint64_t records = 0;     // records begun so far
  LockRecord log[kLockRecords] = {};
};
static_assert(sizeof(LockRecord) == 120 && sizeof(SpaceState) % 8 == 0);

}  // namespace perdure::memory
