// Numbers of prctl(2), arch_prctl(2) and ptrace(2) that Debian 12's headers lack or scatter. Values
// are kernel ABI (include/uapi/linux/prctl.h, arch/x86/include/uapi/asm/prctl.h,
// include/uapi/linux/ptrace.h of Linux 6.18).
#pragma once

#include <cstdint>

namespace perdure::kernel::abi {

inline constexpr int kPrGetThpDisable = 42;
inline constexpr int kPrSetThpDisable = 41;
inline constexpr int kPrSetMdwe = 65;
inline constexpr int kPrGetMdwe = 66;
inline constexpr int kPrSetMemoryMerge = 67;
inline constexpr int kPrGetMemoryMerge = 68;
// Linux 6.16: timer_create(2) takes the wanted id from its last argument.
inline constexpr int kPrTimerCreateRestoreIds = 77;
inline constexpr int kRestoreIdsOff = 0;
inline constexpr int kRestoreIdsOn = 1;
inline constexpr int kRestoreIdsGet = 2;

inline constexpr int kArchGetCpuid = 0x1011;
inline constexpr int kArchGetXcompPerm = 0x1022;
inline constexpr int kArchReqXcompPerm = 0x1023;
inline constexpr int kArchShstkStatus = 0x5005;

// ptrace(2) requests.
inline constexpr int kPtraceGetRseqConfiguration = 0x420f;
inline constexpr int kPtraceGetSyscallUserDispatchConfig = 0x4211;

struct RseqConfiguration {  // struct ptrace_rseq_configuration
  uint64_t pointer;
  uint32_t size;  // 0: not registered
  uint32_t signature;
  uint32_t flags;
  uint32_t padding;
};
static_assert(sizeof(RseqConfiguration) == 24);

struct SyscallUserDispatchConfig {  // struct ptrace_sud_config
  uint64_t mode;                    // 0: off
  uint64_t selector;
  uint64_t offset;
  uint64_t length;
};
static_assert(sizeof(SyscallUserDispatchConfig) == 32);

// The head of struct rseq and struct rseq_cs (linux/rseq.h).
struct Rseq {
  uint32_t cpu_id_start;
  uint32_t cpu_id;
  uint64_t critical_section;  // address of a RseqCriticalSection, 0: none
  uint32_t flags;
};
struct RseqCriticalSection {
  uint32_t version;
  uint32_t flags;
  uint64_t start;
  uint64_t length;  // post_commit_offset, bytes from start
  uint64_t abort;
};
static_assert(sizeof(RseqCriticalSection) == 32);

}  // namespace perdure::kernel::abi
