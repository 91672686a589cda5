#include "kernel/timerfd.h"

#include <sys/timerfd.h>

#include "restore/file_kinds.h"

namespace perdure::restore {

// A moment of the world's clock stays that moment, and may have passed. All other timers go on with
// the time that was left: the group's monotonic clock stood still meanwhile.
Result<Fd> open_timerfd(const object::OpenFile& record) {
  const object::TimerFd& timer = record.timerfd();
  Fd file = PD_TRY(kernel::timerfd_create(timer.clock()));
  const int flags = static_cast<int>(timer.settime_flags());
  if (timer.expiry_ns() != 0) {
    PD_TRY(kernel::timerfd_settime(file.get(), flags, {timer.expiry_ns(), timer.interval_ns()}));
  } else if (timer.value_ns() != 0) {
    PD_TRY(kernel::timerfd_settime(file.get(),
                                   flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET),
                                   {timer.value_ns(), timer.interval_ns()}));
  }
  if (timer.ticks() != 0) PD_TRY(kernel::set_timerfd_ticks(file.get(), timer.ticks()));
  return file;
}

}  // namespace perdure::restore
