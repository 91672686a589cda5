// The engine of a group, or the reason why there is none and what to do about it.
#pragma once

#include "base/result.h"
#include "cli/context.h"
#include "daemon/client.h"

namespace perdure::cli {

Error no_engine(const daemon::GroupPlace& place);
Result<daemon::Client> engine_of(const daemon::GroupPlace& place);

// SIGKILL to the group; returns when it has ended. A group without an engine is taken over first:
// killing it needs one.
Status kill_group(const Context& context, const daemon::GroupPlace& place);

}  // namespace perdure::cli
