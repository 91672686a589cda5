#include "capture/blocked_call.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "capture/interrupted_call.h"
#include "capture/wait_seen.h"
#include "kernel/task_info.h"

namespace perdure::capture {
namespace {

using kernel::Registers;
using kernel::Tracee;

// Results by which the kernel marks a call that is to be made again (include/linux/errno.h); a
// tracer sees them.
constexpr int64_t kErestartSys = -512;
constexpr int64_t kErestartNoIntr = -513;
constexpr int64_t kErestartNoHand = -514;
constexpr int64_t kErestartRestartBlock = -516;
constexpr uint64_t kSyscallInstructionBytes = 2;
constexpr uint64_t kNsPerMs = 1'000'000;
// The upper half of a marked call's number.
constexpr uint64_t kMark = 0x5065'7264ull << 32;
constexpr uint64_t kMarkBits = 0xffff'ffffull << 32;

bool is_marked(uint64_t number) { return (number & kMarkBits) == kMark; }
uint64_t without_mark(uint64_t number) { return is_marked(number) ? number & ~kMarkBits : number; }

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

enum class IsMarked : uint8_t { kNo, kYes };

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

Registers ended_call(const Registers& registers, long number) {
  Registers ended = registers;
  ended.rax = static_cast<uint64_t>(result_at_limit(number));
  ended.orig_rax = ~0ull;
  return ended;
}

object::BlockedCall blocked_call(long number, uint64_t left_ns, uint64_t instruction) {
  object::BlockedCall blocked;
  blocked.set_number(static_cast<uint32_t>(number));
  blocked.set_remaining_ns(left_ns);
  blocked.set_instruction(instruction);
  return blocked;
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
  settled.blocked = blocked_call(number, left, registers.rip - kSyscallInstructionBytes);
  return settled;
}

// What the book knows of the call that the thread is in.
const WaitBook::Wait* known_wait(pid_t tid, const SettleInput& input, IsMarked marked,
                                 const WaitBook& book) {
  const WaitBook::Wait* known = book.find(tid, input.registers);
  if (known == nullptr) return nullptr;
  const bool same = known->marked ? marked == IsMarked::kYes : known->still_sleeps(input.wait);
  return same ? known : nullptr;
}

Result<SettledCall> settle_eintr(pid_t tid, const SettleInput& input, IsMarked marked,
                                 WaitBook* book) {
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
  const WaitBook::Wait* known = known_wait(tid, input, marked, *book);
  const uint64_t left = time_left(input, known, limit->ns);
  if (left == 0) {
    book->forget(tid);
    const Registers ended = ended_call(registers, number);
    return SettledCall{ended, ended, {}};
  }
  if (book->marks()) settled.live.rax |= kMark;
  book->put(tid, {input.pid, number, input.now_ns + left, WaitBook::EndedBy::kEngine}, registers);
  settled.blocked = blocked_call(number, left, again.rip);
  return settled;
}

// A call that was to be made again and that the thread has not come to since.
Result<SettledCall> settle_not_begun(pid_t tid, const SettleInput& input, WaitBook* book) {
  Registers behind = input.registers;
  behind.rip += kSyscallInstructionBytes;
  const WaitBook::Wait* known = book->find(tid, behind);
  SettledCall settled{input.registers, input.registers, {}};
  if (known == nullptr || input.registers.rax != (static_cast<uint64_t>(known->number) | kMark))
    return settled;
  settled.saved.rax = static_cast<uint64_t>(known->number);
  if (known->ended_by != WaitBook::EndedBy::kEngine) return settled;
  const uint64_t left = left_until(known->deadline_ns, input.now_ns);
  if (left > 0) {
    settled.blocked = blocked_call(known->number, left, input.registers.rip);
    return settled;
  }
  const Registers ended = ended_call(behind, known->number);
  book->forget(tid);
  return SettledCall{ended, ended, {}};
}

// Where a call that the kernel makes again has what is left of its limit.
struct LimitAt {
  enum class Unit : uint8_t { kNanoseconds, kMicroseconds };
  uint64_t address = 0;
  Unit unit = Unit::kNanoseconds;
};

LimitAt limit_kept_by_kernel(const Registers& registers) {
  switch (registers.orig_rax) {
    case SYS_select:
      return {registers.r8, LimitAt::Unit::kMicroseconds};
    case SYS_pselect6:
      return {registers.r8, LimitAt::Unit::kNanoseconds};
    case SYS_ppoll:
      return {registers.rdx, LimitAt::Unit::kNanoseconds};
    default:
      return {};
  }
}

// Rounded up: a limit is never reached too early.
Status write_limit(pid_t tid, const LimitAt& limit, uint64_t ns) {
  constexpr uint64_t kSecondNs = 1'000'000'000;
  const uint64_t unit = limit.unit == LimitAt::Unit::kMicroseconds ? 1000 : 1;
  ns = (ns + unit - 1) / unit * unit;
  const uint64_t value[2] = {ns / kSecondNs, ns % kSecondNs / unit};
  return kernel::write_memory(tid, RemoteAddr(limit.address), bytes_of(value));
}

Result<uint64_t> read_limit_ns(pid_t tid, const LimitAt& limit) {
  uint64_t value[2] = {};
  PD_TRY(kernel::read_memory(tid, RemoteAddr(limit.address),
                             MutableBytes(reinterpret_cast<uint8_t*>(value), sizeof(value))));
  return value[0] * 1'000'000'000 +
         value[1] * (limit.unit == LimitAt::Unit::kMicroseconds ? 1000 : 1);
}

// The kernel makes it again, with what it wrote as left when the thread was interrupted: too much
// by the time for which the thread stands still now.
Result<SettledCall> settle_made_again(pid_t tid, const SettleInput& input, IsMarked marked,
                                      WaitBook* book) {
  const Registers& registers = input.registers;
  SettledCall settled{registers, undone(registers, registers.orig_rax), {}};
  const LimitAt limit = limit_kept_by_kernel(registers);
  if (limit.address == 0 || !book->marks()) return settled;
  const Result<uint64_t> left = read_limit_ns(tid, limit);
  if (!left.ok()) return settled;
  const uint64_t end_ns = input.rested_ns + *left;
  const WaitBook::Wait* known = known_wait(tid, input, marked, *book);
  const uint64_t deadline_ns = known == nullptr ? end_ns : std::min(end_ns, known->deadline_ns);
  if (deadline_ns < end_ns)
    PD_TRY(write_limit(tid, limit, left_until(deadline_ns, input.rested_ns)));
  book->put(
      tid,
      {input.pid, static_cast<long>(registers.orig_rax), deadline_ns, WaitBook::EndedBy::kKernel},
      registers);
  settled.live.orig_rax |= kMark;
  return settled;
}

}  // namespace

const WaitBook::Wait* WaitBook::find(pid_t tid, const Registers& registers) const {
  auto found = waits_.find(tid);
  return found != waits_.end() && found->second.same_call(registers) ? &found->second : nullptr;
}

std::optional<Registers> WaitBook::Wait::ended(const Registers& registers) const {
  Registers behind = registers;
  uint64_t made = registers.orig_rax;
  // A thread that has not come to its call yet stands before the instruction.
  const bool not_begun = marked && static_cast<int64_t>(made) < 0;
  if (not_begun) {
    behind.rip += kSyscallInstructionBytes;
    made = registers.rax;
  } else if (static_cast<int64_t>(registers.rax) != -EINTR) {
    return std::nullopt;
  }
  if (!same_call(behind) || is_marked(made) != marked ||
      without_mark(made) != static_cast<uint64_t>(number)) {
    return std::nullopt;
  }
  return ended_call(behind, number);
}

void WaitBook::put(pid_t tid, Wait wait, const Registers& registers) {
  wait.marked = marks_;
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
  waits_[tid].marked = false;  // an engine before us may have marked a later call
  set_switches(tid, blocked.sleeps());
}

Status WaitBook::mark_saved(Tracee* tracee) {
  auto found = waits_.find(tracee->tid());
  if (found == waits_.end()) return {};
  found->second.switches = count_sleeps(found->second.pid, tracee->tid());
  if (!marks_) return {};
  Registers registers = PD_TRY(tracee->registers());
  registers.rax |= kMark;
  PD_TRY(tracee->set_registers(registers));
  found->second.marked = true;
  return {};
}

void WaitBook::set_switches(pid_t tid, uint64_t switches) {
  auto found = waits_.find(tid);
  if (found != waits_.end()) found->second.switches = switches;
}

Result<SettledCall> settle_call(pid_t tid, const SettleInput& found, WaitBook* book) {
  if (static_cast<int64_t>(found.registers.orig_rax) < 0) return settle_not_begun(tid, found, book);
  const IsMarked marked = is_marked(found.registers.orig_rax) ? IsMarked::kYes : IsMarked::kNo;
  SettleInput input = found;
  input.registers.orig_rax = without_mark(found.registers.orig_rax);
  const Registers& registers = input.registers;
  switch (static_cast<int64_t>(registers.rax)) {
    case kErestartSys:
    case kErestartNoIntr:
      return SettledCall{registers, undone(registers, registers.orig_rax), {}};
    case kErestartNoHand:
      return settle_made_again(tid, input, marked, book);
    case kErestartRestartBlock:
      return settle_restart_block(tid, input, book);
    case -EINTR:
      return settle_eintr(tid, input, marked, book);
    default: {
      // The call is complete; its number must not make the kernel think of restarting anything
      // after a restore.
      SettledCall settled{registers, registers, {}};
      settled.saved.orig_rax = ~0ull;
      // Or the kernel has undone it, and the thread has not come to it since.
      if (registers.rax == (registers.orig_rax | kMark)) settled.saved.rax = registers.orig_rax;
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
  SettleInput input{pid, found, wait, now_ns, SystemClock().monotonic_ns(), false};
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
