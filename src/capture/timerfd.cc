// timerfd(2): clock, time left, interval and unread expirations. A timer on a clock of the world
// (CLOCK_REALTIME) that was set to a moment is saved as that moment, any other as the time that is
// left.
#include <sys/timerfd.h>
#include <time.h>

#include "capture/file_kinds.h"
#include "kernel/timerfd.h"

namespace perdure::capture {

Status capture_timerfd(FileContext&, OpenFileEntry& entry) {
  // An interval timer that has expired counts its further expirations when it is asked for the time
  // left (timerfd.c, do_timerfd_gettime); fdinfo alone would show one.
  PD_TRY_WITHIN(entry.where, kernel::timerfd_gettime(entry.duplicate.get()));
  const kernel::proc::Fdinfo now =
      PD_TRY_WITHIN(entry.where, kernel::proc::read_own_fdinfo(entry.duplicate.get()));
  if (!now.timer) {
    return Error(Code::kUnavailable, entry.where + ": this kernel does not tell a timerfd's state");
  }
  // It may have expired once more since it was asked. Then it stands still until it is read, but
  // its next expiration is an interval after this one, which was just now.
  const bool expired = now.timer->value_ns == 0 && now.timer->ticks != 0;
  const uint64_t left_ns = expired ? now.timer->interval_ns : now.timer->value_ns;
  object::TimerFd* timer = entry.record.mutable_timerfd();
  timer->set_clock(now.timer->clock);
  timer->set_ticks(now.timer->ticks);
  timer->set_settime_flags(now.timer->settime_flags);
  timer->set_interval_ns(now.timer->interval_ns);
  timer->set_value_ns(left_ns);
  const bool of_the_world =
      now.timer->clock == CLOCK_REALTIME || now.timer->clock == CLOCK_REALTIME_ALARM;
  if (of_the_world && (now.timer->settime_flags & TFD_TIMER_ABSTIME) != 0 && left_ns != 0) {
    timer->set_expiry_ns(PD_TRY(kernel::realtime_ns()) + left_ns);
  }
  return {};
}

}  // namespace perdure::capture
