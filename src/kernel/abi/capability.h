// Capabilities as the kernel numbers them (linux/capability.h of Linux 6.18), and the structures of
// capset(2).
#pragma once

#include <cstdint>

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
