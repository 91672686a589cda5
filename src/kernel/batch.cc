// Batch and BatchArea: see tracee.h. The area's layout: code page (r-x), call table, data (both
// rw).
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "base/limits.h"
#include "kernel/tracee.h"

extern "C" {
extern const uint8_t perdure_batch_code_begin[];
extern const uint8_t perdure_batch_code_end[];
extern const uint8_t perdure_batch_code_syscall[];
extern const uint8_t perdure_batch_code_trap[];
}

namespace perdure::kernel {
namespace {

constexpr size_t kTableBytes = 32768;

// In front of the call table: what batch_code.S needs when nobody is there to take over at its end.
struct Header {
  uint64_t unused[2];
  uint64_t signal;
  uint64_t mask;
  uint64_t flags, rsp, rip;
  uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
};
static_assert(offsetof(Header, mask) == 24 && offsetof(Header, flags) == 32 &&
              offsetof(Header, rsp) == 40);
static_assert(offsetof(Header, rip) == 48 && offsetof(Header, rax) == 56 &&
              offsetof(Header, r15) == 168);
static_assert(sizeof(Header) <= BatchArea::kHeaderBytes);

// A call that the kernel would make again or continue (ERESTART*, include/linux/errno.h) is made
// again by the thread.
Registers made_again(Registers registers) {
  const int64_t result = static_cast<int64_t>(registers.rax);
  const bool restarts = static_cast<int64_t>(registers.orig_rax) >= 0 &&
                        (result == -512 || result == -513 || result == -514 || result == -516);
  if (!restarts) return registers;
  registers.rax = result == -516 ? SYS_restart_syscall : registers.orig_rax;
  registers.rip -= 2;
  return registers;
}

Header header_for(const Tracee::Rescue& rescue) {
  const Registers r = made_again(rescue.registers);
  return Header{{},          static_cast<uint64_t>(rescue.signal),
                rescue.mask, r.eflags,
                r.rsp,       r.rip,
                r.rax,       r.rbx,
                r.rcx,       r.rdx,
                r.rsi,       r.rdi,
                r.rbp,       r.r8,
                r.r9,        r.r10,
                r.r11,       r.r12,
                r.r13,       r.r14,
                r.r15};
}

struct WireCall {
  int64_t number;
  uint64_t args[6];
  int64_t result;
  uint64_t result_mask;
  uint64_t stop_on_error;
};
static_assert(sizeof(WireCall) == 80);
static_assert(BatchArea::kHeaderBytes + BatchArea::kCallsMax * sizeof(WireCall) <= kTableBytes);

Bytes code() {
  return Bytes(perdure_batch_code_begin,
               static_cast<size_t>(perdure_batch_code_end - perdure_batch_code_begin));
}

}  // namespace

size_t Batch::call(long number, std::array<Arg, 6> args, OnError on_error) {
  PD_ASSERT(calls_.size() < BatchArea::kCallsMax);
  calls_.push_back(Call{number, args, on_error});
  return calls_.size() - 1;
}

RemoteAddr Batch::in(Bytes bytes) {
  RemoteAddr address = out(bytes.size());
  std::copy(bytes.begin(), bytes.end(),
            data_.begin() + static_cast<long>(address.value - data_base_.value));
  return address;
}

RemoteAddr Batch::in(const std::string& text) {
  return in(Bytes(reinterpret_cast<const uint8_t*>(text.c_str()), text.size() + 1));
}

RemoteAddr Batch::out(size_t size) {
  size_t at = (data_.size() + 15) & ~size_t{15};
  PD_ASSERT(at + size <= kDataBytesMax);
  data_.resize(at + size);
  return data_base_ + at;
}

int64_t Batch::result(size_t call) const {
  PD_ASSERT(call < calls_.size());
  return calls_[call].result;
}

Bytes Batch::bytes(RemoteAddr address, size_t size) const {
  PD_ASSERT(address >= data_base_ && address.value - data_base_.value + size <= data_.size());
  return Bytes(data_.data() + (address.value - data_base_.value), size);
}

RemoteAddr BatchArea::syscall_instruction() const {
  return base_ + static_cast<uint64_t>(perdure_batch_code_syscall - perdure_batch_code_begin);
}

Result<BatchArea> BatchArea::map(Tracee* tracee, RemoteAddr syscall_instruction,
                                 RemoteAddr wanted) {
  PD_TRY(tracee->set_signal_mask(~(1ull << (tracee->rescue().signal - 1))));
  // The name's bytes go where the stopped program cannot miss them: below its red zone, put back
  // afterwards.
  Registers registers = PD_TRY(tracee->registers());
  RemoteAddr scratch((registers.rsp - 256) & ~uint64_t{15});
  std::array<uint8_t, 16> name{};
  std::memcpy(name.data(), kName, std::strlen(kName) + 1);
  std::array<uint8_t, 16> kept;
  PD_TRY(read_memory(tracee->tid(), scratch, kept));
  PD_TRY(write_memory(tracee->tid(), scratch, name));
  int64_t fd = PD_TRY(
      remote_call(tracee, syscall_instruction, SYS_memfd_create, {scratch.value, MFD_CLOEXEC}));
  PD_TRY(write_memory(tracee->tid(), scratch, kept));
  if (fd < 0)
    return Error::system(static_cast<int>(-fd), "memfd_create in pid",
                         std::to_string(tracee->tid()));
  const uint64_t placement = wanted.value == 0 ? MAP_PRIVATE : MAP_PRIVATE | MAP_FIXED_NOREPLACE;
  int64_t sized = PD_TRY(
      remote_call(tracee, syscall_instruction, SYS_ftruncate, {static_cast<uint64_t>(fd), kBytes}));
  int64_t base = PD_TRY(remote_call(
      tracee, syscall_instruction, SYS_mmap,
      {wanted.value, kBytes, PROT_READ | PROT_WRITE, placement, static_cast<uint64_t>(fd), 0}));
  PD_TRY(remote_call(tracee, syscall_instruction, SYS_close, {static_cast<uint64_t>(fd)}));
  if (sized < 0 || (base < 0 && base > -4096)) {
    return Error::system(static_cast<int>(sized < 0 ? -sized : -base), "map the batch area in pid",
                         std::to_string(tracee->tid()));
  }
  BatchArea area{RemoteAddr(static_cast<uint64_t>(base))};
  PD_TRY(write_memory(tracee->tid(), area.base_, code()));
  int64_t executable = PD_TRY(remote_call(tracee, syscall_instruction, SYS_mprotect,
                                          {area.base_.value, kPageSize, PROT_READ | PROT_EXEC}));
  if (executable < 0) {
    return Error::system(static_cast<int>(-executable), "mprotect the batch area in pid",
                         std::to_string(tracee->tid()));
  }
  return area;
}

bool BatchArea::present(pid_t pid) const {
  std::array<uint8_t, 512> there;
  const Bytes wanted = code();
  PD_ASSERT(wanted.size() <= there.size());
  const MutableBytes read(there.data(), wanted.size());
  return base_.value != 0 && read_memory(pid, base_, read).ok() &&
         std::equal(wanted.begin(), wanted.end(), read.begin());
}

Status BatchArea::send(const Tracee& tracee, const Batch& batch) const {
  struct {
    Header header;
    uint8_t padding[kHeaderBytes - sizeof(Header)];
    std::array<WireCall, kCallsMax> calls;
  } image;
  image.header = header_for(tracee.rescue());
  const pid_t tid = tracee.tid();
  for (size_t i = 0; i < batch.calls_.size(); ++i) {
    const Batch::Call& call = batch.calls_[i];
    WireCall& wire = image.calls[i];
    wire = WireCall{call.number, {}, Batch::kNotRun, 0, call.on_error == OnError::kStop ? 1u : 0u};
    for (size_t a = 0; a < 6; ++a) {
      wire.args[a] = call.args[a].value;
      if (call.args[a].is_result) {
        PD_ASSERT(call.args[a].value < i);
        wire.result_mask |= 1u << a;
      }
    }
  }
  PD_TRY(write_memory(tid, base_ + kPageSize,
                      Bytes(reinterpret_cast<const uint8_t*>(&image),
                            kHeaderBytes + batch.calls_.size() * sizeof(WireCall))));
  if (batch.data_.empty()) return {};
  return write_memory(tid, batch.data_base_, batch.data_);
}

Status BatchArea::fetch(pid_t tid, Batch* batch) const {
  std::array<WireCall, kCallsMax> table;
  PD_TRY(read_memory(tid, base_ + kPageSize + kHeaderBytes,
                     MutableBytes(reinterpret_cast<uint8_t*>(table.data()),
                                  batch->calls_.size() * sizeof(WireCall))));
  for (size_t i = 0; i < batch->calls_.size(); ++i) batch->calls_[i].result = table[i].result;
  if (batch->data_.empty()) return {};
  return read_memory(tid, batch->data_base_, batch->data_);
}

Status BatchArea::run(Tracee* tracee, Batch* batch) const { return run(tracee, batch, nullptr); }

RemoteAddr BatchArea::trap() const {
  return base_ + static_cast<uint64_t>(perdure_batch_code_trap - perdure_batch_code_begin);
}

Status BatchArea::prepare(Tracee* tracee, const Batch& batch) const {
  PD_TRY(send(*tracee, batch));
  Registers registers = PD_TRY(tracee->registers());
  registers.rip = base_.value;
  registers.rbx = base_.value + kPageSize + kHeaderBytes;
  registers.r12 = batch.size();
  registers.r13 = registers.rbx;
  registers.orig_rax = ~0ull;  // no call to restart
  registers.rax = 0;
  registers.eflags &= ~0x500ull;  // neither single steps nor a backward direction
  // In this order: should we die in between, the batch runs, signals and all, and puts everything
  // back.
  PD_TRY(tracee->set_registers(registers));
  return tracee->set_signal_mask(~(1ull << (tracee->rescue().signal - 1)));
}

Status BatchArea::run(Tracee* tracee, Batch* batch, std::vector<pid_t>* born) const {
  if (batch->empty()) return {};
  PD_TRY(prepare(tracee, *batch));
  PD_TRY(tracee->run_to_trap(trap(), born));
  return fetch(tracee->tid(), batch);
}

// The wait is one that leaves the thread's restart block alone (restart_syscall(2)): the call that
// the program is in may need it.
BatchArea::Visit BatchArea::add_visit(Batch* batch) {
  PD_ASSERT(batch->size() > 0);
  const timespec at_most{1, 0};  // if the engine dies
  const Visit visit{batch->size() - 1};
  batch->call(SYS_rt_sigtimedwait,
              {batch->in_value(uint64_t{0}), 0, batch->in_value(at_most), sizeof(uint64_t)},
              OnError::kContinue);
  return visit;
}

// Waits for a call's result to appear; a busy machine may need a while to run the thread at all.
// The thread is stopped afterwards if the batch has ended already.
Result<int64_t> BatchArea::await_result(Tracee* tracee, size_t call) const {
  constexpr int kLooksAtOnce = 100;
  constexpr int kPausesMax = 100'000;
  constexpr long kPauseNs = 50'000;
  const RemoteAddr where =
      base_ + kPageSize + kHeaderBytes + call * sizeof(WireCall) + offsetof(WireCall, result);
  for (int looks = 0; looks < kLooksAtOnce + kPausesMax; ++looks) {
    int64_t result = 0;
    PD_TRY(read_memory(tracee->tid(), where,
                       MutableBytes(reinterpret_cast<uint8_t*>(&result), sizeof(result))));
    if (result != Batch::kNotRun) return result;
    if (looks < kLooksAtOnce) continue;
    PD_TRY(tracee->pass_stop(trap()));
    const timespec pause{0, kPauseNs};
    nanosleep(&pause, nullptr);
  }
  return Error(Code::kTimeout, "thread " + std::to_string(tracee->tid()) + " does not get to run");
}

// An interrupt may come before the thread has begun to wait, so it is repeated, with time for the
// thread to get on in between.
Status BatchArea::end_visit(Tracee* tracee) const {
  constexpr int kInterruptsMax = 10'000;
  constexpr int kLooks = 20;
  constexpr long kPauseNs = 5'000;
  for (int interrupts = 0; interrupts < kInterruptsMax && !tracee->stopped(); ++interrupts) {
    PD_TRY(tracee->interrupt());
    for (int looks = 0; looks < kLooks && !tracee->stopped(); ++looks) {
      PD_TRY(tracee->pass_stop(trap()));
      if (tracee->stopped()) break;
      const timespec pause{0, kPauseNs};
      nanosleep(&pause, nullptr);
    }
  }
  return tracee->stopped() ? Status() : tracee->wait_trap(trap(), nullptr);
}

Status BatchArea::run_visited(Tracee* tracee, Batch* batch, const Visit& visit,
                              const std::function<void(int64_t)>& visitor) const {
  PD_ASSERT(visit.call + 2 < batch->size());
  PD_TRY(prepare(tracee, *batch));
  PD_TRY(tracee->resume());
  const Result<int64_t> result = await_result(tracee, visit.call);
  if (result.ok()) visitor(*result);
  PD_TRY(end_visit(tracee));
  PD_TRY(result);
  return fetch(tracee->tid(), batch);
}

Status BatchArea::unmap(Tracee* tracee, RemoteAddr syscall_instruction) const {
  PD_TRY(tracee->set_signal_mask(~(1ull << (tracee->rescue().signal - 1))));
  int64_t done =
      PD_TRY(remote_call(tracee, syscall_instruction, SYS_munmap, {base_.value, kBytes}));
  if (done < 0) return Error::system(static_cast<int>(-done), "unmap the batch area");
  return {};
}

}  // namespace perdure::kernel
