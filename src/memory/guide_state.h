// What the programs of a write guide (guide_programs.h) and the guide share about one address
// space.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure::memory {

// Address spaces that are watched at a time, 127 KiB of memory each that cannot be swapped out.
inline constexpr uint32_t kWatchedSpacesMax = 32;
// A block is what one fault can change at most: a huge page. Bit (address >> kBlockShift) modulo
// kBlockBits stands for it, so addresses 128 GiB apart share one, which only means looking at more.
inline constexpr uint64_t kBlockShift = 21;
inline constexpr uint64_t kBlockBits = 65536;
inline constexpr uint64_t kBlockWords = kBlockBits / 64;
// Calls that took the lock of an address space from one look at the guide to the next; with more,
// everything counts as touched. A power of two.
inline constexpr uint64_t kLockRecords = 256;

// Faults from one look to the next of which the page is known; with more, only their blocks are. A
// power of two.
inline constexpr uint64_t kFaultRecords = 8192;
inline constexpr uint64_t kFaultRecordBits = 13;
// More places than these take longer to look at one by one than the blocks that they lie in.
inline constexpr uint64_t kFaultPagesMax = 512;
static_assert(kFaultRecords == uint64_t{1} << kFaultRecordBits);
// The lower bits of a fault's record are the page's number; the others are which round of the ring
// it is of, from 1: until that is there the record is not complete.
inline constexpr uint64_t kFaultPageBits = 45;
inline constexpr uint64_t kFaultPageMask = (uint64_t{1} << kFaultPageBits) - 1;
inline constexpr uint64_t kFaultRoundMask = ~uint64_t{0} >> kFaultPageBits;

// Return addresses that are kept: down to the entry of a page fault.
inline constexpr uint64_t kLockStackDepth = 12;

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
  // Where the kernel was, the innermost first. Zeros for calls that are known to take the lock for
  // themselves.
  uint64_t stack[kLockStackDepth] = {};
};

// Pages that are held: who is to write one first keeps a copy (held_pages.h). A block of 2 MiB has
// one bit for each page of it.
struct HeldBlock {
  uint64_t tag = 0;  // SpaceState.held_tag + the block's number
  uint64_t pages[8] = {};
};
// A power of two; blocks that fall on the same place are not held together.
inline constexpr uint32_t kHeldBlocks = 16384;
inline constexpr uint64_t kHeldTagShift = 48;
// 64 MiB, for which there is as much memory of the kernel.
inline constexpr uint64_t kHeldPagesMax = 16384;
inline constexpr uint64_t kHeldStride = 509;
inline constexpr uint32_t held_place(uint64_t tag) {
  return static_cast<uint32_t>(tag + (tag >> kHeldTagShift) * kHeldStride) & (kHeldBlocks - 1);
}

struct HeldCopy {
  uint64_t page = 0;   // SpaceState.held_tag + the page's number
  uint64_t round = 0;  // written last: 2 * HeldRound.number, or 1 more if the copy came too late
  uint8_t bytes[4096] = {};
};
struct HeldRound {
  uint64_t copies = 0;  // begun in this round, from entry 0 on
  uint64_t number = 0;
};
static_assert(sizeof(HeldBlock) == 72 && sizeof(HeldCopy) == 4112);

struct SpaceState {
  uint64_t touched[kBlockWords] = {};
  uint64_t distrusted = 0;  // something went on that the guide cannot follow
  uint64_t records = 0;     // records of locks begun so far
  uint64_t faults = 0;      // and of faults
  uint64_t held_tag = 0;    // of pages that are held; 0: none are
  LockRecord log[kLockRecords] = {};
  uint64_t fault_log[kFaultRecords] = {};
};
static_assert(sizeof(LockRecord) == 216 && sizeof(SpaceState) % 8 == 0);

}  // namespace perdure::memory
