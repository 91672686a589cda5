// Capabilities as the kernel numbers them (linux/capability.h of Linux 6.18), and the structures of
// capset(2).
#pragma once

#include <cstdint>
#include <iterator>
#include <string>

namespace perdure::kernel::abi {

inline constexpr int kCapSetgid = 6;
inline constexpr int kCapSetuid = 7;
inline constexpr int kCapSetpcap = 8;
inline constexpr int kCapNetAdmin = 12;
inline constexpr int kCapSysPtrace = 19;
inline constexpr int kCapSysAdmin = 21;
inline constexpr int kCapSysNice = 23;
inline constexpr int kCapSysResource = 24;
inline constexpr int kCapCheckpointRestore = 40;
// The capability sets are 64 bits wide; a kernel may know more of them than this header.
inline constexpr int kCapabilityBits = 64;

inline constexpr const char* kCapabilityNames[] = {"CAP_CHOWN",
                                                   "CAP_DAC_OVERRIDE",
                                                   "CAP_DAC_READ_SEARCH",
                                                   "CAP_FOWNER",
                                                   "CAP_FSETID",
                                                   "CAP_KILL",
                                                   "CAP_SETGID",
                                                   "CAP_SETUID",
                                                   "CAP_SETPCAP",
                                                   "CAP_LINUX_IMMUTABLE",
                                                   "CAP_NET_BIND_SERVICE",
                                                   "CAP_NET_BROADCAST",
                                                   "CAP_NET_ADMIN",
                                                   "CAP_NET_RAW",
                                                   "CAP_IPC_LOCK",
                                                   "CAP_IPC_OWNER",
                                                   "CAP_SYS_MODULE",
                                                   "CAP_SYS_RAWIO",
                                                   "CAP_SYS_CHROOT",
                                                   "CAP_SYS_PTRACE",
                                                   "CAP_SYS_PACCT",
                                                   "CAP_SYS_ADMIN",
                                                   "CAP_SYS_BOOT",
                                                   "CAP_SYS_NICE",
                                                   "CAP_SYS_RESOURCE",
                                                   "CAP_SYS_TIME",
                                                   "CAP_SYS_TTY_CONFIG",
                                                   "CAP_MKNOD",
                                                   "CAP_LEASE",
                                                   "CAP_AUDIT_WRITE",
                                                   "CAP_AUDIT_CONTROL",
                                                   "CAP_SETFCAP",
                                                   "CAP_MAC_OVERRIDE",
                                                   "CAP_MAC_ADMIN",
                                                   "CAP_SYSLOG",
                                                   "CAP_WAKE_ALARM",
                                                   "CAP_BLOCK_SUSPEND",
                                                   "CAP_AUDIT_READ",
                                                   "CAP_PERFMON",
                                                   "CAP_BPF",
                                                   "CAP_CHECKPOINT_RESTORE"};

inline std::string capability_name(int capability) {
  constexpr int kKnown = static_cast<int>(std::size(kCapabilityNames));
  if (capability >= 0 && capability < kKnown) return kCapabilityNames[capability];
  return "capability " + std::to_string(capability);
}

constexpr uint64_t capability_bit(int capability) { return uint64_t{1} << capability; }

inline constexpr uint32_t kCapabilityVersion = 0x20080522;  // _LINUX_CAPABILITY_VERSION_3

struct CapabilityHeader {
  uint32_t version;
  int32_t pid;
};
struct CapabilityData {
  struct {
    uint32_t effective, permitted, inheritable;
  } words[2];  // low, high
};
static_assert(sizeof(CapabilityData) == 24);

constexpr CapabilityData capability_data(uint64_t effective, uint64_t permitted,
                                         uint64_t inheritable) {
  return {{{static_cast<uint32_t>(effective), static_cast<uint32_t>(permitted),
            static_cast<uint32_t>(inheritable)},
           {static_cast<uint32_t>(effective >> 32), static_cast<uint32_t>(permitted >> 32),
            static_cast<uint32_t>(inheritable >> 32)}}};
}

}  // namespace perdure::kernel::abi
