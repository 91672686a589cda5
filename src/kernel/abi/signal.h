// struct sigaction, stack_t and struct sigevent as the kernel has them on x86-64; libc's differ.
#pragma once

#include <cstdint>

namespace perdure::kernel::abi {

inline constexpr int kSignals = 64;         // signals are 1 to 64
inline constexpr uint64_t kSigsetSize = 8;  // bytes, the last argument of the rt_sig* calls

struct SigAction {
  uint64_t handler;  // 0 SIG_DFL, 1 SIG_IGN
  uint64_t flags;    // SA_*
  uint64_t restorer;
  uint64_t mask;
};
static_assert(sizeof(SigAction) == 32);

struct SigAltStack {
  uint64_t base;
  uint32_t flags;  // SS_*
  uint32_t padding;
  uint64_t size;
};
static_assert(sizeof(SigAltStack) == 24);

struct SigEvent {
  uint64_t value;
  int32_t signal;
  int32_t notify;  // SIGEV_*
  int32_t tid;     // SIGEV_THREAD_ID
  uint8_t padding[44];
};
static_assert(sizeof(SigEvent) == 64);

struct TimerSpec {  // struct itimerspec
  int64_t interval_s, interval_ns;
  int64_t value_s, value_ns;
};
static_assert(sizeof(TimerSpec) == 32);

struct IntervalSpec {  // struct itimerval
  int64_t interval_s, interval_us;
  int64_t value_s, value_us;
};
static_assert(sizeof(IntervalSpec) == 32);

constexpr uint64_t signal_bit(int signal) { return uint64_t{1} << (signal - 1); }

}  // namespace perdure::kernel::abi
