#include "capture/blocked_call.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "capture/interrupted_call.h"
#include "kernel/task_info.h"

namespace perdure::capture {
namespace {

using kernel::Registers;

// Results by which the kernel marks a call that is to be made again (include/linux/errno.h); a
// tracer sees them.
constexpr int64_t kErestartSys = -512;
constexpr int64_t kErestartNoIntr = -513;
constexpr int64_t kErestartNoHand = -514;
constexpr int64_t kErestartRestartBlock = -516;
constexpr uint64_t kSyscallInstructionBytes = 2;
constexpr uint64_t kNsPerMs = 1'000'000;

Registers undone(const Registers& registers, uint64_t number) {
  Registers again = registers;
  again.rip -= kSyscallInstructionBytes;
  again.rax = number;
  again.orig_rax = ~0ull;
  return again;
}

Result<uint64_t> read_timespec_ns(pid_t tid, uint64_t address) {
  timespec value{};
  PD_TRY(kernel::read_memory(tid, RemoteAddr(address),
                             MutableBytes(reinterpret_cast<uint8_t*>(&value), sizeof(value))));
  return static_cast<uint64_t>(value.tv_sec) * 1'000'000'000ull +
         static_cast<uint64_t>(value.tv_nsec);
}

uint64_t left_until(uint64_t deadline_ns, uint64_t now_ns) {
  return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

struct Limit {
  uint64_t requested_ns = 0;
  uint64_t left_pointer = 0;  // where the kernel wrote what is left; 0: nowhere
};

// The relative time limit of a call that ended in ERESTART_RESTARTBLOCK.
Result<Limit> limit_of(pid_t tid, long number, const Registers& registers) {
  Limit limit;
  switch (number) {
    case SYS_nanosleep:
      limit.requested_ns = PD_TRY(read_timespec_ns(tid, registers.rdi));
      limit.left_pointer = registers.rsi;
      return limit;
    case SYS_clock_nanosleep:
      limit.requested_ns = PD_TRY(read_timespec_ns(tid, registers.rdx));
      limit.left_pointer = registers.r10;
      return limit;
    case SYS_poll:
      limit.requested_ns =
          static_cast<uint64_t>(std::max<int32_t>(0, static_cast<int32_t>(registers.rdx))) *
          kNsPerMs;
      return limit;
    case SYS_futex:
      limit.requested_ns = PD_TRY(read_timespec_ns(tid, registers.r10));
      return limit;
    default:
      return Error(Code::kUnsupported, "thread " + std::to_string(tid) + " waits in system call " +
                                           std::to_string(number) +
                                           ", whose time limit cannot be told");
  }
}

bool futex_limit_is_absolute(const Registers& registers) {
  return (registers.rsi & FUTEX_CMD_MASK) != FUTEX_WAIT;
}

// restart_syscall(2) hides which call goes on. Its number is an operand just before the syscall
// instruction in every libc (mov $N, %eax); -1 if it is not there, as in a generic syscall()
// function.
long number_in_code(pid_t tid, uint64_t instruction) {
  constexpr size_t kLookBack = 48;
  constexpr uint8_t kMovEax = 0xb8;
  uint8_t code[kLookBack];
  if (!kernel::read_memory(tid, RemoteAddr(instruction - kLookBack), code).ok()) return -1;
  for (size_t at = kLookBack - 5; at > 0; --at) {
    if (code[at] != kMovEax) continue;
    uint32_t number = load_le<uint32_t>(code + at + 1);
    bool restarts = number == SYS_nanosleep || number == SYS_clock_nanosleep ||
                    number == SYS_poll || number == SYS_futex;
    if (restarts) return static_cast<long>(number);
  }
  return -1;
}

// The call behind ERESTART_RESTARTBLOCK.
long original_number(pid_t tid, const Registers& registers, const WaitBook::Wait* known) {
  if (static_cast<long>(registers.orig_rax) != SYS_restart_syscall)
    return static_cast<long>(registers.orig_rax);
  return known != nullptr ? known->number
                          : number_in_code(tid, registers.rip - kSyscallInstructionBytes);
}

uint64_t time_left(const SettleInput& input, const WaitBook::Wait* known, uint64_t requested_ns) {
  if (known != nullptr) return left_until(known->deadline_ns, input.now_ns);
  uint64_t since = input.wait.asleep_since_ns != 0 ? input.wait.asleep_since_ns : input.now_ns;
  return left_until(since + requested_ns, input.now_ns);
}

Result<SettledCall> settle_restart_block(pid_t tid, const SettleInput& input, WaitBook* book) {
  const Registers& registers = input.registers;
  const WaitBook::Wait* known = static_cast<long>(registers.orig_rax) == SYS_restart_syscall
                                    ? book->find(tid, registers)
                                    : nullptr;
  long number = original_number(tid, registers, known);
  if (number < 0) {
    // Interrupted by someone else before us, from a function that hides the call: after a restore
    // it ends with EINTR, as it may after any stop (signal(7)).
    SettledCall interrupted{registers, registers, {}};
    interrupted.saved.rax = static_cast<uint64_t>(-EINTR);
    interrupted.saved.orig_rax = ~0ull;
    return interrupted;
  }
  const Registers again = undone(registers, static_cast<uint64_t>(number));
  if (number == SYS_futex && futex_limit_is_absolute(registers)) {
    // Made anew it waits until the same moment, and every engine that comes later sees which call
    // it is.
    book->forget(tid);
    return SettledCall{again, again, {}};
  }
  SettledCall settled{registers, again, {}};
  Limit limit = PD_TRY(limit_of(tid, number, registers));
  uint64_t left = limit.left_pointer != 0 ? PD_TRY(read_timespec_ns(tid, limit.left_pointer))
                                          : time_left(input, known, limit.requested_ns);
  book->put(tid, {input.pid, number, input.now_ns + left, WaitBook::EndedBy::kKernel}, registers);
  settled.blocked.set_number(static_cast<uint32_t>(number));
  settled.blocked.set_remaining_ns(left);
  settled.blocked.set_instruction(registers.rip - kSyscallInstructionBytes);
  return settled;
}

Result<SettledCall> settle_eintr(pid_t tid, const SettleInput& input, WaitBook* book) {
  const Registers& registers = input.registers;
  const SettledCall as_is{registers, registers, {}};
  const long number = static_cast<long>(registers.orig_rax);
  if (input.signal_deliverable || !may_be_interrupted(number)) return as_is;
  const std::optional<CallLimit> limit = PD_TRY(limit_of_interrupted_call(input.pid, registers));
  if (!limit) return as_is;
  const Registers again = undone(registers, registers.orig_rax);
  SettledCall settled{again, again, {}};
  if (!limit->limited) {
    book->forget(tid);
    return settled;
  }
  const WaitBook::Wait* known = book->find(tid, registers);
  if (known != nullptr && !known->still_sleeps(input.wait)) known = nullptr;
  const uint64_t left = time_left(input, known, limit->ns);
  if (left == 0) {
    book->forget(tid);
    Registers ended = registers;
    ended.rax = static_cast<uint64_t>(result_at_limit(number));
    ended.orig_rax = ~0ull;
    return SettledCall{ended, ended, {}};
  }
  book->put(tid, {input.pid, number, input.now_ns + left, WaitBook::EndedBy::kEngine}, registers);
  settled.blocked.set_number(static_cast<uint32_t>(number));
  settled.blocked.set_remaining_ns(left);
  settled.blocked.set_instruction(again.rip);
  return settled;
}

}  // namespace

const WaitBook::Wait* WaitBook::find(pid_t tid, const Registers& registers) const {
  auto found = waits_.find(tid);
  return found != waits_.end() && found->second.same_call(registers) ? &found->second : nullptr;
}

void WaitBook::put(pid_t tid, Wait wait, const Registers& registers) {
  wait.rip = registers.rip;
  wait.rsp = registers.rsp;
  wait.rdi = registers.rdi;
  wait.rsi = registers.rsi;
  waits_[tid] = wait;
}

void WaitBook::put_saved(pid_t pid, pid_t tid, const object::Thread& thread, uint64_t deadline_ns) {
  const object::BlockedCall& blocked = thread.blocked();
  const long number = static_cast<long>(blocked.number());
  Registers registers{};
  std::memcpy(&registers, thread.registers().data(),
              std::min(sizeof(registers), thread.registers().size()));
  registers.rip = blocked.instruction() + kSyscallInstructionBytes;
  put(tid,
      {pid, number, deadline_ns, may_be_interrupted(number) ? EndedBy::kEngine : EndedBy::kKernel},
      registers);
  set_switches(tid, blocked.sleeps());
}

void WaitBook::set_switches(pid_t tid, uint64_t switches) {
  auto found = waits_.find(tid);
  if (found != waits_.end()) found->second.switches = switches;
}

Result<SettledCall> settle_call(pid_t tid, const SettleInput& input, WaitBook* book) {
  const Registers& registers = input.registers;
  if (static_cast<int64_t>(registers.orig_rax) < 0) return SettledCall{registers, registers, {}};
  switch (static_cast<int64_t>(registers.rax)) {
    case kErestartSys:
    case kErestartNoIntr:
    case kErestartNoHand:
      return SettledCall{registers, undone(registers, registers.orig_rax), {}};
    case kErestartRestartBlock:
      return settle_restart_block(tid, input, book);
    case -EINTR:
      return settle_eintr(tid, input, book);
    default: {
      // The call is complete; its number must not make the kernel think of restarting anything
      // after a restore.
      SettledCall settled{registers, registers, {}};
      settled.saved.orig_rax = ~0ull;
      return settled;
    }
  }
}

namespace {

bool is_deliverable(const std::vector<std::array<uint8_t, 128>>& queue, uint64_t mask) {
  return std::any_of(queue.begin(), queue.end(), [mask](const auto& info) {
    const int32_t number = load_le<int32_t>(info.data());
    return number >= 1 && number <= 64 && (mask >> (number - 1) & 1) == 0;
  });
}

}  // namespace

Result<bool> has_deliverable_signal(const kernel::Tracee& tracee) {
  const uint64_t mask = PD_TRY(tracee.signal_mask());
  for (kernel::Tracee::Queue queue :
       {kernel::Tracee::Queue::kThread, kernel::Tracee::Queue::kProcess}) {
    if (is_deliverable(PD_TRY(tracee.pending(queue)), mask)) return true;
  }
  return false;
}

Result<SettledCall> settle_thread(pid_t pid, kernel::Tracee& tracee, const WaitSeen& wait,
                                  uint64_t now_ns, WaitBook* book) {
  const Registers found = PD_TRY(tracee.registers());
  SettleInput input{pid, found, wait, now_ns, false};
  const kernel::abi::RseqConfiguration rseq = PD_TRY(kernel::rseq_configuration(tracee.tid()));
  PD_TRY(kernel::abort_restartable_sequence(tracee.tid(), rseq, &input.registers));
  if (static_cast<int64_t>(found.orig_rax) >= 0 && static_cast<int64_t>(found.rax) == -EINTR) {
    input.signal_deliverable = PD_TRY(has_deliverable_signal(tracee));
  }
  const SettledCall settled = PD_TRY(settle_call(tracee.tid(), input, book));
  if (std::memcmp(&settled.live, &found, sizeof(found)) != 0)
    PD_TRY(tracee.set_registers(settled.live));
  return settled;
}

}  // namespace perdure::capture
