#include "capture/timers.h"

#include <sys/syscall.h>

#include <algorithm>
#include <ctime>
#include <string>

#include "capture/answer.h"
#include "kernel/abi/signal.h"

namespace perdure::capture {
namespace {

using kernel::abi::IntervalSpec;
using kernel::abi::TimerSpec;

constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint64_t kUsPerSecond = 1'000'000;

// CPU-time clocks below zero hold a tid in their upper bits, inverted, 0 for "the caller's", and
// whether they measure a thread in bit 2 (include/linux/posix-timers_types.h).
bool measures_calling_thread(int32_t clock) {
  if (clock == CLOCK_THREAD_CPUTIME_ID) return true;
  return clock < 0 && (clock & 4) != 0 && ~(clock >> 3) == 0;
}

uint64_t ns_of(int64_t seconds, int64_t ns) {
  return static_cast<uint64_t>(seconds) * kNsPerSecond + static_cast<uint64_t>(ns);
}

uint64_t us_of(int64_t seconds, int64_t us) {
  return static_cast<uint64_t>(seconds) * kUsPerSecond + static_cast<uint64_t>(us);
}

}  // namespace

Status put_posix_timers(std::vector<kernel::proc::Timer> timers, uint32_t threads,
                        kernel::PidMap* pids, object::Process* record) {
  if (timers.size() > kPosixTimersMax) {
    return Error(Code::kLimit,
                 "more than " + std::to_string(kPosixTimersMax) + " POSIX timers cannot be saved");
  }
  // The kernel lists them in the order of their making, the newest first.
  std::sort(timers.begin(), timers.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (const kernel::proc::Timer& timer : timers) {
    if (threads > 1 && measures_calling_thread(timer.clock)) {
      return Error(Code::kUnsupported, "POSIX timer " + std::to_string(timer.id) +
                                           " on one thread's CPU time cannot be saved")
          .with_remedy("create it on the clock that pthread_getcpuclockid(3) names");
    }
    object::PosixTimer* out = record->add_posix_timers();
    out->set_id(timer.id);
    out->set_clock(timer.clock);
    out->set_notify(timer.notify);
    out->set_signal(timer.signal);
    out->set_sigev_value(timer.value);
    out->set_notify_tid(PD_TRY(pids->inner(timer.notify_pid)));
  }
  return {};
}

TimerQuery TimerQuery::add(const object::Process& record, kernel::Batch* batch) {
  TimerQuery query;
  for (size_t which = 0; which < query.intervals_.size(); ++which) {
    const RemoteAddr answer = batch->out(sizeof(IntervalSpec));
    query.intervals_[which] = {batch->call(SYS_getitimer, {which, answer}), answer};
  }
  for (const object::PosixTimer& timer : record.posix_timers()) {
    const RemoteAddr answer = batch->out(sizeof(TimerSpec));
    const size_t call = batch->call(SYS_timer_gettime, {timer.id(), answer});
    query.timers_.push_back({call, answer});
  }
  return query;
}

Status TimerQuery::decode(const kernel::Batch& batch, object::Process* record) const {
  for (size_t which = 0; which < intervals_.size(); ++which) {
    PD_TRY(answer_of(batch, intervals_[which].call, "read the interval timers"));
    const auto spec = batch.value<IntervalSpec>(intervals_[which].answer);
    const uint64_t interval = us_of(spec.interval_s, spec.interval_us);
    uint64_t value = us_of(spec.value_s, spec.value_us);
    if (interval == 0 && value == 0) continue;
    // A periodic ITIMER_REAL is armed again when its SIGALRM is taken off the queue
    // (kernel/signal.c); until then no time is left. The signal is saved as pending; the timer goes
    // on with a whole period.
    if (value == 0) value = interval;
    object::IntervalTimer* out = record->add_interval_timers();
    out->set_which(static_cast<uint32_t>(which));
    out->set_interval_us(interval);
    out->set_value_us(value);
  }
  PD_ASSERT(static_cast<int>(timers_.size()) == record->posix_timers_size());
  for (size_t i = 0; i < timers_.size(); ++i) {
    object::PosixTimer* out = record->mutable_posix_timers(static_cast<int>(i));
    const std::string what = "read POSIX timer " + std::to_string(out->id());
    PD_TRY(answer_of(batch, timers_[i].call, what));
    const auto spec = batch.value<TimerSpec>(timers_[i].answer);
    out->set_interval_ns(ns_of(spec.interval_s, spec.interval_ns));
    out->set_value_ns(ns_of(spec.value_s, spec.value_ns));
  }
  return {};
}

}  // namespace perdure::capture
