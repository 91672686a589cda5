// Address space: gives a skeleton the mappings and pages of a saved process.
//
// A skeleton holds, besides the batch area and the vdso, either nothing (stripped) or what it
// inherited from the process that made it; then mappings that are the same in both records stay,
// and pages that the store holds once for both stay shared copy-on-write.
#pragma once

#include "base/result.h"
#include "restore/site.h"

namespace perdure::restore {

// A root skeleton, just cloned from the builder: maps the batch area (site.area) and unmaps
// everything else but the vdso.
Status strip(Skeleton* skeleton, RemoteAddr syscall_instruction, Site* site);

// The skeleton's own record becomes its memory.
Status build_address_space(Skeleton* skeleton, Site* site);

// Numbers that /proc and brk(2) show, and /proc/PID/exe. Once nothing of the builder is mapped any
// more.
Status set_memory_layout(Skeleton* skeleton, Site* site);

// Where in every address space of the epoch, and in ours, `size` bytes are free.
Result<RemoteAddr> find_common_gap(const object::Graph& graph, uint64_t size);

}  // namespace perdure::restore
