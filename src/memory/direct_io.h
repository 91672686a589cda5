// Whether a process may have reads under way that write its memory past the page tables: O_DIRECT
// files. Such a read takes hold of its pages before it waits for the disk. If a page is protected
// in between, what the disk writes is not seen.
#pragma once

#include <sys/types.h>

#include "base/result.h"

namespace perdure::memory {

// Looks at all descriptors, 3 us each. kGone if the process is gone.
Result<bool> may_read_directly(pid_t pid);

}  // namespace perdure::memory
