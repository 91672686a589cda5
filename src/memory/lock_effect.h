// What a call that took the lock of an address space may have done to its pages. Page faults, those
// of the kernel in a system call included, are recorded elsewhere; what is told here is only what
// happens without one. A call that is not known may have done anything.
#pragma once

#include <cstdint>

#include "memory/guide_state.h"

namespace perdure::memory {

struct LockEffect {
  enum class Reach : uint8_t {
    kNothing,
    kDirectReads,  // pages of [start, end) may have been written by a device, from an O_DIRECT file
    kPages,        // pages of [start, end) may have been written, filled or dropped
    kMappings,     // and the mappings there may be others
    kEverything,   // both, anywhere
  };
  Reach reach = Reach::kEverything;
  uint64_t start = 0;  // bytes, page aligned
  uint64_t end = 0;
  // Nothing was written there; but pages may have become writable, so that a write is no fault.
  bool only_unprotects = false;
  // A child may share the pages now, so that writes are faults again.
  bool shares = false;
};

LockEffect effect_of(const LockRecord& record);

}  // namespace perdure::memory
