#include "kernel/timerfd.h"

#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>

#include <cerrno>

namespace perdure::kernel {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
// _IOW('T', 0, u64) of linux/timerfd.h.
constexpr unsigned long kTfdIocSetTicks = 0x40085400;

timespec timespec_of(uint64_t ns) {
  return {static_cast<time_t>(ns / kSecondNs), static_cast<long>(ns % kSecondNs)};
}

uint64_t ns_of(const timespec& time) {
  return static_cast<uint64_t>(time.tv_sec) * kSecondNs + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace

Result<Fd> timerfd_create(int clock) {
  const int fd = ::timerfd_create(clock, TFD_CLOEXEC);
  if (fd < 0) return Error::system(errno, "make a timerfd");
  return Fd::adopt(fd);
}

Result<TimerSetting> timerfd_gettime(int fd) {
  itimerspec setting = {};
  if (::timerfd_gettime(fd, &setting) != 0) return Error::system(errno, "read a timerfd");
  return TimerSetting{ns_of(setting.it_value), ns_of(setting.it_interval)};
}

Status timerfd_settime(int fd, int flags, const TimerSetting& setting) {
  const itimerspec raw = {timespec_of(setting.interval_ns), timespec_of(setting.value_ns)};
  if (::timerfd_settime(fd, flags, &raw, nullptr) != 0)
    return Error::system(errno, "set a timerfd");
  return {};
}

Status set_timerfd_ticks(int fd, uint64_t ticks) {
  if (::ioctl(fd, kTfdIocSetTicks, &ticks) != 0) {
    return Error::system(errno == ENOTTY ? EOPNOTSUPP : errno, "set the expirations of a timerfd");
  }
  return {};
}

Result<uint64_t> realtime_ns() {
  timespec now = {};
  if (::clock_gettime(CLOCK_REALTIME, &now) != 0) return Error::system(errno, "read the clock");
  return ns_of(now);
}

}  // namespace perdure::kernel
