#include "memory/guide_programs.h"

#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>

#include "base/limits.h"
#include "memory/guide_state.h"

namespace perdure::memory {
namespace {

using kernel::BpfCode;
using Register = kernel::BpfRegister;
using Math = kernel::BpfMath;
using Size = kernel::BpfSize;
using Test = kernel::BpfTest;

// What registers hold in all programs, once it is known.
constexpr Register kState = Register::k8;  // SpaceState*
constexpr Register kSpace = Register::k7;  // mm_struct*
constexpr Register kTask = Register::k6;   // task_struct* of the running task
constexpr Register kSpare = Register::k9;
// Places on the stack.
constexpr int16_t kKey = -8;
constexpr int16_t kNumber = -16;
constexpr int16_t kOwn = -24;
constexpr int16_t kError = -32;
constexpr int16_t kCopy = -40;
constexpr int16_t kContext = -48;
// Of page faults of x86-64.
constexpr int32_t kErrorWrite = 2;

// struct pt_regs of x86-64, in bytes.
constexpr int16_t kRegistersCall = 120;
constexpr int16_t kRegistersArguments[] = {112, 104, 96, 56, 72, 64};  // di, si, dx, r10, r8, r9
// Workers and kernel threads do not stand still when the threads of a process are stopped
// (task_struct.flags: PF_KTHREAD, PF_IO_WORKER, PF_USER_WORKER).
constexpr int32_t kWorkers = 0x00200000 | 0x00000010 | 0x00004000;

constexpr int16_t offset(size_t bytes) { return static_cast<int16_t>(bytes); }

void load_task(BpfCode& code) {
  code.call(BPF_FUNC_get_current_task_btf);
  code.copy(kTask, Register::k0);
}

void set_word(BpfCode& code, size_t field, int32_t value) {
  static_assert(offsetof(SpaceState, records) < INT16_MAX);
  code.store(Size::k64, kState, offset(field), value);
}

}  // namespace

Result<KernelLayout> KernelLayout::read(const kernel::Btf& btf) {
  KernelLayout layout;
  layout.task_mm = PD_TRY(btf.member_offset("task_struct", "mm"));
  layout.task_flags = PD_TRY(btf.member_offset("task_struct", "flags"));
  layout.task_status = PD_TRY(btf.member_offset("task_struct", "thread_info")) +
                       PD_TRY(btf.member_offset("thread_info", "status"));
  layout.task_robust_list = PD_TRY(btf.member_offset("task_struct", "robust_list"));
  layout.mm_brk = PD_TRY(btf.member_offset("mm_struct", "brk"));
  return layout;
}

// From kSpace to kState.
void GuidePrograms::find_state(BpfCode& code, BpfCode::Label& none) const {
  code.jump_if(kSpace, Test::kEqual, 0, none);
  code.store(Size::k64, Register::kStackEnd, kKey, kSpace);
  code.find_value(Register::k0, maps_.spaces, kKey, none);
  code.load(Size::k64, Register::k1, Register::k0, 0);
  code.store(Size::k32, Register::kStackEnd, kKey, Register::k1);
  code.find_value(kState, maps_.states, kKey, none);
}

// The address is the tracepoint's first argument, the error code the third.
BpfCode GuidePrograms::fault(bool of_kernel) const {
  BpfCode code;
  BpfCode::Label out, mark;
  code.load(Size::k64, kSpare, Register::k1, 0);
  code.load(Size::k64, Register::k2, Register::k1, 16);
  code.store(Size::k64, Register::kStackEnd, kError, Register::k2);
  load_task(code);
  code.load(Size::k64, kSpace, kTask, offset(layout_.task_mm));
  find_state(code, out);
  if (of_kernel) {
    code.load(Size::k32, Register::k1, kTask, offset(layout_.task_flags));
    code.calculate(Math::kAnd, Register::k1, kWorkers);
    code.jump_if(Register::k1, Test::kEqual, 0, mark);
    set_word(code, offsetof(SpaceState, distrusted), 1);
    code.place(mark);
  }
  copy_held_page(code);
  record_fault(code);
  // Word and bit of the block.
  code.calculate(Math::kShiftRight, kSpare, kBlockShift);
  code.copy(Register::k1, kSpare);
  code.calculate(Math::kAnd, Register::k1, 63);
  code.set(Register::k2, 1);
  code.calculate(Math::kShiftLeft, Register::k2, Register::k1);
  code.calculate(Math::kShiftRight, kSpare, 6);
  code.calculate(Math::kAnd, kSpare, kBlockWords - 1);
  code.calculate(Math::kShiftLeft, kSpare, 3);
  code.calculate(Math::kAdd, kState, kSpare);
  code.load(Size::k64, Register::k1, kState, 0);
  code.jump_if(Register::k1, Test::kAnyBit, Register::k2, out);  // saves a locked write
  code.atomic_or(kState, 0, Register::k2);
  code.place(out);
  code.exit_with(0);
  return code;
}

// The address is in kSpare. If the page is held and will be written, keeps a copy and gives it up.
void GuidePrograms::copy_held_page(BpfCode& code) const {
  constexpr Register kWord = Register::k6, kBit = Register::k7;
  BpfCode::Label out, held, won, done;
  code.load(Size::k64, Register::k1, kState, offset(offsetof(SpaceState, held_tag)));
  code.jump_if(Register::k1, Test::kEqual, 0, out);
  code.load(Size::k64, Register::k2, Register::kStackEnd, kError);
  code.calculate(Math::kAnd, Register::k2, kErrorWrite);
  code.jump_if(Register::k2, Test::kEqual, 0, out);
  // The block's entry.
  constexpr Register kTag = Register::k6;
  code.copy(kTag, kSpare);
  code.calculate(Math::kShiftRight, kTag, kBlockShift);
  code.calculate(Math::kAdd, kTag, Register::k1);
  code.copy(Register::k2, kTag);
  code.calculate(Math::kShiftRight, Register::k2, kHeldTagShift);
  code.calculate(Math::kMultiply, Register::k2, kHeldStride);
  code.calculate(Math::kAdd, Register::k2, kTag);
  code.calculate(Math::kAnd, Register::k2, kHeldBlocks - 1);
  code.store(Size::k32, Register::kStackEnd, kKey, Register::k2);
  code.find_value(Register::k0, maps_.held_blocks, kKey, out);
  code.load(Size::k64, Register::k1, Register::k0, offset(offsetof(HeldBlock, tag)));
  code.jump_if(Register::k1, Test::kNotEqual, kTag, out);
  // Word and bit of the page.
  code.copy(Register::k1, kSpare);
  code.calculate(Math::kShiftRight, Register::k1, kPageShift + 6);
  code.calculate(Math::kAnd, Register::k1, 7);
  code.calculate(Math::kShiftLeft, Register::k1, 3);
  code.copy(kWord, Register::k0);
  code.calculate(Math::kAdd, kWord, Register::k1);
  code.copy(Register::k1, kSpare);
  code.calculate(Math::kShiftRight, Register::k1, kPageShift);
  code.calculate(Math::kAnd, Register::k1, 63);
  code.set(kBit, 1);
  code.calculate(Math::kShiftLeft, kBit, Register::k1);
  code.load(Size::k64, Register::k1, kWord, offset(offsetof(HeldBlock, pages)));
  code.jump_if(Register::k1, Test::kAnyBit, kBit, held);
  code.jump(out);
  code.place(held);
  // Room for the copy.
  code.store(Size::k32, Register::kStackEnd, kKey, 0);
  code.find_value(Register::k0, maps_.held_round, kKey, out);
  code.load(Size::k64, Register::k1, Register::k0, offset(offsetof(HeldRound, number)));
  code.calculate(Math::kShiftLeft, Register::k1, 1);
  code.store(Size::k64, Register::kStackEnd, kNumber, Register::k1);
  code.set(Register::k1, 1);
  code.atomic_add_and_fetch_old(Register::k0, offset(offsetof(HeldRound, copies)), Register::k1);
  code.store(Size::k32, Register::kStackEnd, kOwn, Register::k1);
  code.find_value(Register::k0, maps_.held_copies, kKey, out);
  code.find_value_in_found(Register::k0, kOwn, out);
  code.store(Size::k64, Register::kStackEnd, kCopy, Register::k0);
  code.copy(Register::k1, kSpare);
  code.calculate(Math::kShiftRight, Register::k1, kPageShift);
  code.load(Size::k64, Register::k2, kState, offset(offsetof(SpaceState, held_tag)));
  code.calculate(Math::kAdd, Register::k1, Register::k2);
  code.store(Size::k64, Register::k0, offset(offsetof(HeldCopy, page)), Register::k1);
  code.copy(Register::k1, Register::k0);
  code.calculate(Math::kAdd, Register::k1, offsetof(HeldCopy, bytes));
  code.set(Register::k2, kPageSize);
  code.copy(Register::k3, kSpare);
  code.calculate(Math::kAnd, Register::k3, -static_cast<int32_t>(kPageSize));
  code.call(BPF_FUNC_probe_read_user);
  // Whoever gives the page up has the copy that counts. What could not be read stays held.
  code.load(Size::k64, Register::k3, Register::kStackEnd, kNumber);
  code.calculate(Math::kAdd, Register::k3, 1);
  code.load(Size::k64, Register::k1, Register::kStackEnd, kCopy);
  code.jump_if(Register::k0, Test::kNotEqual, 0, done);
  code.copy(Register::k2, kBit);
  code.calculate(Math::kXor, Register::k2, -1);
  code.atomic_and_and_fetch_old(kWord, offset(offsetof(HeldBlock, pages)), Register::k2);
  code.jump_if(Register::k2, Test::kAnyBit, kBit, won);
  code.jump(done);
  code.place(won);
  code.calculate(Math::kAdd, Register::k3, -1);
  code.place(done);
  code.store(Size::k64, Register::k1, offset(offsetof(HeldCopy, round)), Register::k3);
  code.place(out);
}

// The address is in kSpare.
void GuidePrograms::record_fault(BpfCode& code) const {
  constexpr Register kIndex = Register::k1, kPlace = Register::k2, kEntry = Register::k3;
  code.copy(kEntry, kSpare);
  code.calculate(Math::kShiftRight, kEntry, kPageShift);
  code.set(kIndex, 1);
  code.atomic_add_and_fetch_old(kState, offset(offsetof(SpaceState, faults)), kIndex);
  code.copy(kPlace, kIndex);
  code.calculate(Math::kAnd, kPlace, kFaultRecords - 1);
  code.calculate(Math::kShiftLeft, kPlace, 3);
  code.calculate(Math::kAdd, kPlace, offsetof(SpaceState, fault_log));
  code.copy(Register::k4, kState);
  code.calculate(Math::kAdd, Register::k4, kPlace);
  code.calculate(Math::kShiftRight, kIndex, kFaultRecordBits);
  code.calculate(Math::kAdd, kIndex, 1);
  code.calculate(Math::kShiftLeft, kIndex, kFaultPageBits);
  code.calculate(Math::kAdd, kEntry, kIndex);
  code.store(Size::k64, Register::k4, 0, kEntry);
}

BpfCode GuidePrograms::user_fault() const { return fault(false); }
BpfCode GuidePrograms::kernel_fault() const { return fault(true); }

// Arguments: mm_struct*, whether for writing, whether it was got.
BpfCode GuidePrograms::lock_acquired() const {
  BpfCode code;
  BpfCode::Label out;
  code.load(Size::k64, Register::k2, Register::k1, 16);
  code.calculate(Math::kAnd, Register::k2, 255);
  code.jump_if(Register::k2, Test::kEqual, 0, out);
  code.store(Size::k64, Register::kStackEnd, kContext, Register::k1);
  code.load(Size::k64, kSpace, Register::k1, 0);
  find_state(code, out);
  load_task(code);
  record_lock(code);
  code.place(out);
  code.exit_with(0);
  return code;
}

// Only of other processes: this one's own tasks stand still in a cut, so for them it is enough to
// know that they began. What another process does under the lock may come after the cut that has
// seen it begin.
BpfCode GuidePrograms::lock_released() const {
  BpfCode code;
  BpfCode::Label out;
  code.store(Size::k64, Register::kStackEnd, kContext, Register::k1);
  code.load(Size::k64, kSpace, Register::k1, 0);
  find_state(code, out);
  load_task(code);
  code.load(Size::k64, Register::k1, kTask, offset(layout_.task_mm));
  code.jump_if(Register::k1, Test::kEqual, kSpace, out);
  record_lock(code);
  code.place(out);
  code.exit_with(0);
  return code;
}

// Jumps to `harmless` for what needs no record, because it happens often: a fault of user mode that
// takes the lock is no system call and was noted as a fault; a look into the process from outside
// changes nothing; and what the engine does to page tables and mappings, by ioctl(2), it knows.
void GuidePrograms::skip_harmless(BpfCode& code, BpfCode::Label& harmless) const {
  BpfCode::Label foreign, record;
  code.copy(Register::k1, kTask);
  code.call(BPF_FUNC_task_pt_regs);
  code.copy(kSpare, Register::k0);
  code.store(Size::k64, Register::kStackEnd, kOwn, 0);
  code.load(Size::k32, Register::k1, kTask, offset(layout_.task_flags));
  code.calculate(Math::kAnd, Register::k1, kWorkers);
  code.jump_if(Register::k1, Test::kNotEqual, 0, record);
  code.load(Size::k64, Register::k2, kSpare, kRegistersCall);
  code.load(Size::k64, Register::k1, kTask, offset(layout_.task_mm));
  code.jump_if(Register::k1, Test::kNotEqual, kSpace, foreign);
  code.store(Size::k64, Register::kStackEnd, kOwn, 1);
  code.jump_if(Register::k2, Test::kEqual, -1, harmless);
  code.jump(record);
  code.place(foreign);
  for (const int32_t call :
       {SYS_read, SYS_pread64, SYS_process_vm_readv, SYS_newfstatat, SYS_readlink, SYS_openat}) {
    code.jump_if(Register::k2, Test::kEqual, call, harmless);
  }
  code.jump_if(Register::k2, Test::kNotEqual, SYS_ioctl, record);
  code.call(BPF_FUNC_get_current_pid_tgid);
  code.calculate(Math::kShiftRight, Register::k0, 32);
  code.jump_if(Register::k0, Test::kEqual, engine_, harmless);
  code.place(record);
}

// Fills one LockRecord of kState, unless it is harmless.
void GuidePrograms::record_lock(BpfCode& code) const {
  constexpr Register kRecord = kState;
  BpfCode::Label out;
  skip_harmless(code, out);
  // The record's number and place.
  code.set(Register::k1, 1);
  code.atomic_add_and_fetch_old(kState, offset(offsetof(SpaceState, records)), Register::k1);
  code.copy(Register::k2, Register::k1);
  code.calculate(Math::kAdd, Register::k2, 1);
  code.store(Size::k64, Register::kStackEnd, kNumber, Register::k2);
  code.calculate(Math::kAnd, Register::k1, kLockRecords - 1);
  code.calculate(Math::kMultiply, Register::k1, sizeof(LockRecord));
  code.calculate(Math::kAdd, Register::k1, offsetof(SpaceState, log));
  code.calculate(Math::kAdd, kRecord, Register::k1);
  // Its fields.
  code.store(Size::k64, kRecord, offset(offsetof(LockRecord, number)), 0);
  code.load(Size::k64, Register::k1, Register::kStackEnd, kOwn);
  code.store(Size::k64, kRecord, offset(offsetof(LockRecord, own)), Register::k1);
  code.load(Size::k32, Register::k1, kTask, offset(layout_.task_flags));
  code.store(Size::k64, kRecord, offset(offsetof(LockRecord, task_flags)), Register::k1);
  code.load(Size::k32, Register::k1, kTask, offset(layout_.task_status));
  code.store(Size::k64, kRecord, offset(offsetof(LockRecord, status)), Register::k1);
  code.load(Size::k64, Register::k1, kTask, offset(layout_.task_robust_list));
  code.store(Size::k64, kRecord, offset(offsetof(LockRecord, robust_list)), Register::k1);
  code.load(Size::k64, Register::k1, kSpare, kRegistersCall);
  code.store(Size::k64, kRecord, offset(offsetof(LockRecord, call)), Register::k1);
  int16_t field = offset(offsetof(LockRecord, arguments));
  for (const int16_t argument : kRegistersArguments) {
    code.load(Size::k64, Register::k1, kSpare, argument);
    code.store(Size::k64, kRecord, field, Register::k1);
    field = offset(static_cast<size_t>(field) + sizeof(uint64_t));
  }
  code.load(Size::k64, Register::k1, kSpace, offset(layout_.mm_brk));
  code.store(Size::k64, kRecord, offset(offsetof(LockRecord, break_end)), Register::k1);
  // For process_vm_writev the first iovec that its fourth argument points to.
  BpfCode::Label complete;
  code.load(Size::k64, Register::k3, kRecord, offset(offsetof(LockRecord, call)));
  code.jump_if(Register::k3, Test::kNotEqual, SYS_process_vm_writev, complete);
  code.copy(Register::k1, kRecord);
  code.calculate(Math::kAdd, Register::k1, offsetof(LockRecord, remote_start));
  code.set(Register::k2, 2 * sizeof(uint64_t));
  code.load(Size::k64, Register::k3, kRecord,
            offset(offsetof(LockRecord, arguments) + 3 * sizeof(uint64_t)));
  code.call(BPF_FUNC_probe_read_user);
  code.jump_if(Register::k0, Test::kEqual, 0, complete);
  code.store(Size::k64, kRecord, offset(offsetof(LockRecord, remote_length)), -1);
  code.place(complete);
  record_stack(code);
  code.load(Size::k64, Register::k1, Register::kStackEnd, kNumber);
  code.store(Size::k64, kRecord, offset(offsetof(LockRecord, number)), Register::k1);
  code.place(out);
}

// Calls that take the lock for themselves do so often, and a walk of the stack takes a microsecond.
void GuidePrograms::record_stack(BpfCode& code) const {
  constexpr Register kRecord = kState;
  BpfCode::Label without, done;
  code.load(Size::k64, Register::k1, kRecord, offset(offsetof(LockRecord, own)));
  code.jump_if(Register::k1, Test::kEqual, 0, without);
  code.load(Size::k64, Register::k1, kRecord, offset(offsetof(LockRecord, call)));
  for (const int32_t call : {SYS_mmap, SYS_munmap, SYS_brk, SYS_madvise, SYS_mprotect, SYS_futex}) {
    code.jump_if(Register::k1, Test::kEqual, call, without);
  }
  code.load(Size::k64, Register::k1, Register::kStackEnd, kContext);
  code.copy(Register::k2, kRecord);
  code.calculate(Math::kAdd, Register::k2, offsetof(LockRecord, stack));
  code.set(Register::k3, sizeof(LockRecord::stack));
  code.set(Register::k4, 0);
  code.call(BPF_FUNC_get_stack);
  code.jump(done);
  code.place(without);
  code.store(Size::k64, kRecord, offset(offsetof(LockRecord, stack)), 0);
  code.place(done);
}

BpfCode GuidePrograms::uring_submit() const {
  BpfCode code;
  BpfCode::Label out;
  load_task(code);
  code.load(Size::k64, kSpace, kTask, offset(layout_.task_mm));
  find_state(code, out);
  set_word(code, offsetof(SpaceState, distrusted), 1);
  code.place(out);
  code.exit_with(0);
  return code;
}

BpfCode GuidePrograms::find_space(const Fd& answer) const {
  BpfCode code;
  BpfCode::Label out;
  code.load(Size::k64, Register::k1, Register::k1, 8);
  code.jump_if(Register::k1, Test::kEqual, 0, out);
  code.load(Size::k64, kSpace, Register::k1, offset(layout_.task_mm));
  code.store(Size::k32, Register::kStackEnd, kKey, 0);
  code.find_value(Register::k0, answer, kKey, out);
  code.store(Size::k64, Register::k0, 0, kSpace);
  code.place(out);
  code.exit_with(0);
  return code;
}

}  // namespace perdure::memory
