#include "restore/signals.h"

#include <sys/syscall.h>

#include <array>
#include <csignal>
#include <string>

#include "kernel/abi/signal.h"

namespace perdure::restore {
namespace {

using kernel::abi::SigAction;

constexpr size_t kSigInfoBytes = 128;

RemoteAddr siginfo_in(const object::PendingSignal& signal, RemoteCalls* calls) {
  std::string info = signal.siginfo();
  info.resize(kSigInfoBytes);
  return calls->batch().in(Bytes(reinterpret_cast<const uint8_t*>(info.data()), info.size()));
}

// si_signo is the first field of siginfo_t.
int32_t signal_of(const object::PendingSignal& signal) {
  if (signal.siginfo().size() < sizeof(int32_t)) return 0;
  return load_le<int32_t>(reinterpret_cast<const uint8_t*>(signal.siginfo().data()));
}

}  // namespace

void add_actions(const object::Process& process, RemoteCalls* calls) {
  std::array<SigAction, kernel::abi::kSignals + 1> actions = {};
  std::array<bool, kernel::abi::kSignals + 1> saved = {};
  for (const object::SignalAction& action : process.actions()) {
    if (action.signal() == 0 || action.signal() > kernel::abi::kSignals) continue;
    actions[action.signal()] = {action.handler(), action.flags(), action.restorer(), action.mask()};
    saved[action.signal()] = true;
  }
  const RemoteAddr fallback = calls->batch().in_value(SigAction{});
  for (int signal = 1; signal <= kernel::abi::kSignals; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP) continue;
    const auto index = static_cast<size_t>(signal);
    const RemoteAddr action = saved[index] ? calls->batch().in_value(actions[index]) : fallback;
    calls->add("set the action of signal " + std::to_string(signal), SYS_rt_sigaction,
               {signal, action, 0, kernel::abi::kSigsetSize});
  }
}

void add_altstack(const object::Thread& thread, RemoteCalls* calls) {
  kernel::abi::SigAltStack stack = {};
  stack.base = thread.altstack_base();
  stack.size = thread.altstack_size();
  // SS_ONSTACK tells where the stack pointer was; it follows from the registers.
  stack.flags = thread.altstack_flags() & ~static_cast<uint32_t>(SS_ONSTACK);
  const RemoteAddr at = calls->batch().in_value(stack);
  calls->add("set the alternate signal stack", SYS_sigaltstack, {at, 0});
}

void add_process_pending(const object::Process& process, RemoteCalls* calls) {
  for (const object::PendingSignal& signal : process.pending()) {
    const RemoteAddr info = siginfo_in(signal, calls);
    calls->add("queue a pending signal", SYS_rt_sigqueueinfo,
               {process.pid(), signal_of(signal), info});
  }
}

void add_thread_pending(const object::Process& process, const object::Thread& thread,
                        RemoteCalls* calls) {
  for (const object::PendingSignal& signal : thread.pending()) {
    const RemoteAddr info = siginfo_in(signal, calls);
    calls->add("queue a thread's pending signal", SYS_rt_tgsigqueueinfo,
               {process.pid(), thread.tid(), signal_of(signal), info});
  }
}

}  // namespace perdure::restore
