// SysV shared memory segments, made anew with their ids in the group's IPC namespace (shm_next_id,
// Documentation/admin-guide/sysctl/kernel.rst).
#pragma once

#include "base/result.h"
#include "object/graph.h"
#include "restore/remote_calls.h"
#include "store/epoch_reader.h"

namespace perdure::restore {

// In the builder, inside the IPC namespace. kExists if a key or id is taken.
Status make_sysv_segments(const object::Graph& graph, const store::EpochReader& reader);

// In any one process of the group, once all that map them do: those that were marked to be
// destroyed are marked again.
void add_destroyed_marks(const object::Graph& graph, RemoteCalls* calls);

}  // namespace perdure::restore
