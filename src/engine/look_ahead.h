// What can be known of a group before it is stopped: so that the stop has less to do.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/result.h"
#include "engine/state.h"

namespace perdure::engine {

// What is remembered of this process; nothing yet if it is new, or a new one under an old number.
Member& member_for(GroupState* state, pid_t pid, uint64_t start_ticks);

// The namespaces of the init that `run` or a restore made.
Result<const kernel::proc::Namespaces*> read_home(GroupState* state);

// Reads VmFlags of mappings (12 us a resident MiB), looks at the files behind them, opens files of
// /proc of new processes by reading them once, and makes room for descriptors. Whatever fails or
// changes is met again in the stop. A group that has not run since the last look is not looked at
// again. Returns by how much more memory is resident than in the last stop.
uint64_t look_ahead(GroupState* state);

// The same when there is time, so that the checkpoint of a group that is at rest has less to do.
void look_while_idle(GroupState* state);

}  // namespace perdure::engine
