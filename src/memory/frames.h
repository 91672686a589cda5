// Copy-on-write sharing between processes: which pages of a forked child are still the very frames
// of its parent.
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "memory/page_set.h"

namespace perdure::memory {

// The pages of `within` (page number = address / 4096, equal in both) that are the same physical
// frame, or the same slot of swap, in both processes, so that their contents are equal. Both must
// be stopped. kPermission without CAP_SYS_ADMIN.
Result<PageSet> same_frames(pid_t parent, pid_t child, const PageSet& within);

}  // namespace perdure::memory
