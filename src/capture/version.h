// Versions of records that are known from one capture to the next, as object::Graph::versions has
// them: no two records that differ have the same, of whatever object they are.
#pragma once

#include <cstdint>

namespace perdure::capture {

// One that no record has had; never 0.
uint64_t next_version();

}  // namespace perdure::capture
