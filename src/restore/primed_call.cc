#include "restore/primed_call.h"

#include <sys/syscall.h>
#include <time.h>

#include <cstring>

namespace perdure::restore {
namespace {

constexpr int64_t kErestartRestartBlock = -516;  // include/linux/errno.h
constexpr uint64_t kInstructionBytes = 2;
constexpr uint64_t kNsPerMs = 1'000'000;

Result<kernel::Registers> saved_registers(const object::Thread& thread) {
  kernel::Registers registers;
  if (thread.registers().size() != sizeof(registers)) {
    return Error(Code::kCorrupt,
                 "thread " + std::to_string(thread.tid()) + " has registers of another size");
  }
  std::memcpy(&registers, thread.registers().data(), sizeof(registers));
  return registers;
}

// The same call with its limit replaced by what is left; `limit` is where a timespec of that lies.
Status set_limit(uint64_t remaining_ns, RemoteAddr limit, long number,
                 kernel::Registers* registers) {
  switch (number) {
    case SYS_nanosleep:
      registers->rdi = limit.value;
      return {};
    case SYS_clock_nanosleep:
      registers->rdx = limit.value;
      return {};
    case SYS_futex:
      registers->r10 = limit.value;
      return {};
    case SYS_poll:
      registers->rdx = (remaining_ns + kNsPerMs - 1) / kNsPerMs;
      return {};
    default:
      return Error(Code::kNewer, "a thread waits in system call " + std::to_string(number) +
                                     ", which this version cannot make to wait again");
  }
}

}  // namespace

bool is_primed(long number) {
  return number == SYS_nanosleep || number == SYS_clock_nanosleep || number == SYS_poll ||
         number == SYS_futex;
}

Result<kernel::Registers> final_registers(const object::Thread& thread, kernel::Tracee* tracee,
                                          const Site& site) {
  kernel::Registers saved = PD_TRY(saved_registers(thread));
  const long number = thread.blocked().number();
  if (!is_primed(number)) return saved;
  const uint64_t remaining = thread.blocked().remaining_ns();
  kernel::Batch data = site.area.batch();
  const RemoteAddr limit = data.in_value(timespec{static_cast<time_t>(remaining / 1'000'000'000),
                                                  static_cast<long>(remaining % 1'000'000'000)});
  PD_TRY(kernel::write_memory(tracee->tid(), limit, data.bytes(limit, sizeof(timespec))));
  kernel::Registers entering = saved;
  entering.rip = thread.blocked().instruction();
  entering.rax = static_cast<uint64_t>(number);
  entering.orig_rax = ~0ull;
  PD_TRY(set_limit(remaining, limit, number, &entering));
  PD_TRY(tracee->set_registers(entering));
  PD_TRY(tracee->enter_call_interrupted());
  const kernel::Registers waiting = PD_TRY(tracee->registers());
  kernel::Registers final = saved;
  final.rip = thread.blocked().instruction() + kInstructionBytes;
  final.rax = waiting.rax;
  // A call that did not need to wait any more is over; else the kernel continues it from its
  // restart block.
  final.orig_rax = static_cast<int64_t>(waiting.rax) == kErestartRestartBlock
                       ? static_cast<uint64_t>(number)
                       : ~0ull;
  return final;
}

}  // namespace perdure::restore
