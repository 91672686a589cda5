// A userfaultfd(2) of a skeleton's address space, in our hands.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "restore/site.h"

namespace perdure::restore {

// kUserMode: faults of system calls are not served, for which no privilege is needed.
enum class Faults : uint8_t { kUserMode, kAll };

// Invalid if the kernel does not let the skeleton make one.
Result<Fd> take_uffd(Skeleton* skeleton, const Site& site, Faults faults);

}  // namespace perdure::restore
