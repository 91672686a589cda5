// What giving back space amounts to.
#pragma once

#include <cstdint>

namespace perdure::store {

struct CollectReport {
  uint64_t epochs_dropped = 0;
  uint64_t segments_deleted = 0;
  uint64_t bytes_copied = 0;  // by compaction
  uint64_t live_bytes = 0;    // what the kept epochs need, about; 0 if that was not looked at
};

}  // namespace perdure::store
