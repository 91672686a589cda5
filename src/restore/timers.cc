#include "restore/timers.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "kernel/abi/prctl.h"
#include "kernel/abi/signal.h"

namespace perdure::restore {
namespace {

namespace abi = kernel::abi;
using abi::IntervalSpec;
using abi::TimerSpec;

constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint64_t kUsPerSecond = 1'000'000;

std::string name_of(const object::PosixTimer& timer) {
  return "POSIX timer " + std::to_string(timer.id());
}

RemoteAddr event_in(const object::PosixTimer& timer, RemoteCalls* calls) {
  abi::SigEvent event = {};
  event.value = timer.sigev_value();
  event.signal = timer.signal();
  event.notify = timer.notify();
  event.tid = (timer.notify() & SIGEV_THREAD_ID) != 0 ? timer.notify_tid() : 0;
  return calls->batch().in_value(event);
}

void create(const object::PosixTimer& timer, RemoteCalls* calls) {
  const RemoteAddr id = calls->batch().in_value(timer.id());  // asked for, and answered
  const RemoteAddr event = event_in(timer, calls);
  calls->add("create " + name_of(timer), SYS_timer_create, {timer.clock(), event, id});
  calls->expect_value(timer.id(), id, "create " + name_of(timer) + " with its old id");
}

void create_by_id(const object::Process& process, RemoteCalls* calls) {
  calls->add("ask for timer ids", SYS_prctl,
             {abi::kPrTimerCreateRestoreIds, abi::kRestoreIdsOn, 0, 0, 0});
  for (const object::PosixTimer& timer : process.posix_timers()) create(timer, calls);
  calls->add("end asking for timer ids", SYS_prctl,
             {abi::kPrTimerCreateRestoreIds, abi::kRestoreIdsOff, 0, 0, 0});
}

// Uses up one id of the process's counter.
void skip_id(int32_t id, RemoteCalls* calls) {
  abi::SigEvent event = {};
  event.notify = SIGEV_NONE;
  const RemoteAddr at = calls->batch().in_value(event);
  const RemoteAddr answer = calls->batch().in_value(id);
  calls->add("count timer ids", SYS_timer_create, {CLOCK_MONOTONIC, at, answer});
  calls->expect_value(id, answer, "count timer ids from 0");
  calls->add("count timer ids", SYS_timer_delete, {id});
}

Status create_by_counting(const object::Process& process, RemoteCalls* calls) {
  std::vector<const object::PosixTimer*> timers;
  for (const object::PosixTimer& timer : process.posix_timers()) timers.push_back(&timer);
  std::sort(timers.begin(), timers.end(), [](auto* a, auto* b) { return a->id() < b->id(); });
  if (!timers.empty() && timers.back()->id() > kCountedTimerIdsMax) {
    return Error(Code::kUnavailable, calls->who() + ": " + name_of(*timers.back()) +
                                         " cannot get its old id on this kernel")
        .with_remedy("restore on Linux 6.16 or later");
  }
  int32_t next = 0;
  for (const object::PosixTimer* timer : timers) {
    for (; next < timer->id(); ++next) skip_id(next, calls);
    create(*timer, calls);
    ++next;
  }
  return {};
}

}  // namespace

Status add_timer_creation(const object::Process& process, const kernel::Features& features,
                          RemoteCalls* calls) {
  if (process.posix_timers().empty()) return {};
  if (!features.has(kernel::Feature::kTimerIds)) return create_by_counting(process, calls);
  create_by_id(process, calls);
  return {};
}

void add_timer_arming(const object::Process& process, RemoteCalls* calls) {
  for (const object::IntervalTimer& timer : process.interval_timers()) {
    // A periodic timer whose signal is still pending has no time left: the kernel arms it again
    // when the signal is taken (posixtimer_rearm_itimer). Setting it to nothing would disarm it.
    const uint64_t value_us = std::max<uint64_t>(timer.value_us(), 1);
    const RemoteAddr spec = calls->batch().in_value(
        IntervalSpec{static_cast<int64_t>(timer.interval_us() / kUsPerSecond),
                     static_cast<int64_t>(timer.interval_us() % kUsPerSecond),
                     static_cast<int64_t>(value_us / kUsPerSecond),
                     static_cast<int64_t>(value_us % kUsPerSecond)});
    calls->add("arm interval timer " + std::to_string(timer.which()), SYS_setitimer,
               {timer.which(), spec, 0});
  }
  for (const object::PosixTimer& timer : process.posix_timers()) {
    if (timer.value_ns() == 0 && timer.interval_ns() == 0) continue;
    const RemoteAddr spec =
        calls->batch().in_value(TimerSpec{static_cast<int64_t>(timer.interval_ns() / kNsPerSecond),
                                          static_cast<int64_t>(timer.interval_ns() % kNsPerSecond),
                                          static_cast<int64_t>(timer.value_ns() / kNsPerSecond),
                                          static_cast<int64_t>(timer.value_ns() % kNsPerSecond)});
    calls->add("arm " + name_of(timer), SYS_timer_settime, {timer.id(), 0, spec, 0});
  }
}

}  // namespace perdure::restore
