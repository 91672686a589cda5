// SysV shared memory segments, made anew with their ids in the group's IPC namespace (shm_next_id,
// Documentation/admin-guide/sysctl/kernel.rst).
#pragma once

#include "base/result.h"
#include "object/graph.h"
#include "store/epoch_reader.h"

namespace perdure::restore {

// In the builder, inside the IPC namespace. kExists if a key or id is taken.
Status make_sysv_segments(const object::Graph& graph, const store::EpochReader& reader);

// In the builder, once every process that maps them is there: those that were marked to be
// destroyed are marked again.
Status mark_destroyed_segments(const object::Graph& graph);

}  // namespace perdure::restore
