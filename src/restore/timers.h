// Interval and POSIX timers. POSIX timers are made first (add_timer_creation) and armed last, when
// nothing but the resume is left (add_timer_arming), because an armed timer runs at once.
#pragma once

#include "kernel/features.h"
#include "object/process.pb.h"
#include "restore/remote_calls.h"

namespace perdure::restore {

// Timers get their old ids. In the process's leader, after all its threads exist (a timer may
// notify one) and before its credentials (alarm clocks ask for CAP_WAKE_ALARM). Without
// Feature::kTimerIds ids are counted up from 0 in a process that never had a timer; an id beyond
// kCountedTimerIdsMax is then an error.
Status add_timer_creation(const object::Process& process, const kernel::Features& features,
                          RemoteCalls* calls);

// In any thread; signals are blocked or the process is stopped.
void add_timer_arming(const object::Process& process, RemoteCalls* calls);

// Two calls for each id have to fit into one batch beside others.
inline constexpr int32_t kCountedTimerIdsMax = 150;

}  // namespace perdure::restore
