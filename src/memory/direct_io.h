// Whether a process may have reads under way that write its memory past the page tables: O_DIRECT
// files. Such a read takes hold of its pages before it waits for the disk. If a page is protected
// in between, what the disk writes is not seen.
#pragma once

#include <sys/types.h>

#include "base/result.h"

namespace perdure::kernel {
class LazyTaskImages;
}

namespace perdure::memory {

// Looks at all descriptors, 0.3 us each where there are images of them, else 3 us. images: may be
// null. kGone if the process is gone.
Result<bool> may_read_directly(pid_t pid, kernel::LazyTaskImages* images);

}  // namespace perdure::memory
