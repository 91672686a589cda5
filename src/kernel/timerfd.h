// timerfd(2), with its number of unread expirations (TFD_IOC_SET_TICKS, CONFIG_CHECKPOINT_RESTORE).
#pragma once

#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace perdure::kernel {

struct TimerSetting {
  uint64_t value_ns = 0;  // 0: disarmed
  uint64_t interval_ns = 0;
};

Result<Fd> timerfd_create(int clock);
Result<TimerSetting> timerfd_gettime(int fd);
Status timerfd_settime(int fd, int flags, const TimerSetting& setting);
Status set_timerfd_ticks(int fd, uint64_t ticks);
Result<uint64_t> realtime_ns();

}  // namespace perdure::kernel
