// How a group comes into the engine's hands. Each fills a fresh GroupState.
#pragma once

#include "base/result.h"
#include "engine/options.h"
#include "engine/state.h"

namespace perdure::engine {

Status start(const StartOptions& options, GroupState* state);
Status attach(const AttachOptions& options, GroupState* state);
Status take_over(GroupState* state);
Status restore(const RestoreOptions& options, GroupState* state);

}  // namespace perdure::engine
