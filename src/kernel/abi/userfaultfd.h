// userfaultfd(2) as of Linux 6.7. Debian 12's headers lack UFFD_FEATURE_WP_ASYNC.
#pragma once

#include <linux/ioctl.h>

#include <cstdint>

namespace perdure::kernel::abi {

inline constexpr uint64_t kUffdApiVersion = 0xAA;

inline constexpr uint64_t kUffdFeaturePagefaultFlagWp = 1 << 0;
inline constexpr uint64_t kUffdFeatureWpHugetlbfsShmem = 1 << 12;
inline constexpr uint64_t kUffdFeatureWpUnpopulated = 1 << 13;
inline constexpr uint64_t kUffdFeatureWpAsync = 1 << 15;

struct UffdioApi {
  uint64_t api;
  uint64_t features;  // in: wanted; out: all that the kernel has
  uint64_t ioctls;
};
static_assert(sizeof(UffdioApi) == 24);

struct UffdioRange {
  uint64_t start;
  uint64_t len;
};

inline constexpr uint64_t kUffdRegisterMissing = 1 << 0;
inline constexpr uint64_t kUffdRegisterWp = 1 << 1;
inline constexpr uint64_t kUffdRegisterMinor = 1 << 2;

struct UffdioRegister {
  UffdioRange range;
  uint64_t mode;
  uint64_t ioctls;
};
static_assert(sizeof(UffdioRegister) == 32);

struct UffdioWriteprotect {
  UffdioRange range;
  uint64_t mode;
};
static_assert(sizeof(UffdioWriteprotect) == 24);
inline constexpr uint64_t kUffdWriteprotectDontWake = 1 << 1;

inline constexpr unsigned long kUffdioApi = _IOWR(0xAA, 0x3F, UffdioApi);
inline constexpr unsigned long kUffdioRegister = _IOWR(0xAA, 0x00, UffdioRegister);
inline constexpr unsigned long kUffdioUnregister = _IOR(0xAA, 0x01, UffdioRange);

inline constexpr unsigned long kUffdioWriteprotect = _IOWR(0xAA, 0x06, UffdioWriteprotect);

// UFFD_USER_MODE_ONLY: without it an unprivileged process gets EPERM where
// vm.unprivileged_userfaultfd is 0.
inline constexpr int kUffdUserModeOnly = 1;

}  // namespace perdure::kernel::abi
