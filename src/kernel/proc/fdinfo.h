// /proc/PID/fdinfo/N (proc_pid_fdinfo(5)): position, flags and locks of every descriptor, and what
// eventfd, timerfd, signalfd and epoll keep.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perdure::kernel::proc {

struct FdinfoLock {
  enum class Kind : uint8_t { kPosix, kFlock, kOfd, kOther };  // other: leases
  Kind kind = Kind::kOther;
  bool write = false;
  uint64_t device_inode = 0;  // inode of the locked file
  uint64_t start = 0;
  uint64_t length = 0;  // 0: to the end
};

struct FdinfoWatch {
  int fd = -1;  // the number that was given to epoll_ctl(2)
  uint32_t events = 0;
  uint64_t data = 0;
  uint64_t inode = 0;
  uint32_t device = 0;  // as the kernel keeps it, major << 20 | minor
};

struct FdinfoTimer {
  int clock = 0;
  uint64_t ticks = 0;
  uint32_t settime_flags = 0;
  uint64_t value_ns = 0;
  uint64_t interval_ns = 0;
};

struct Fdinfo {
  uint64_t position = 0;
  uint32_t flags = 0;  // O_*, O_CLOEXEC included
  std::vector<FdinfoLock> locks;
  std::optional<uint64_t> eventfd_count;
  bool eventfd_semaphore = false;
  std::optional<uint64_t> signal_mask;
  std::optional<FdinfoTimer> timer;
  std::vector<FdinfoWatch> watches;
};

Result<Fdinfo> parse_fdinfo(std::string_view text);
Result<Fdinfo> read_fdinfo(pid_t pid, int fd);
// Of a descriptor of our own.
Result<Fdinfo> read_own_fdinfo(int fd);

}  // namespace perdure::kernel::proc
