// Fault points: a testing aid that is always compiled in. PERDURE_FAIL_STEP=N makes the N-th point
// of a checkpoint (from 0) fail, so that a test can show that a failure at every step leaves the
// group as it was.
#pragma once

#include "base/result.h"

namespace perdure::engine {

// Counts one point; the count starts again with reset_fault_points().
Status fault_point(const char* name);
void reset_fault_points();
// From now on another point fails; none if negative. The count starts again.
void fail_at(long point);

// While it lives no point is counted: what goes on is no checkpoint.
class FaultsHeld {
 public:
  FaultsHeld();
  ~FaultsHeld();
  FaultsHeld(const FaultsHeld&) = delete;
  FaultsHeld& operator=(const FaultsHeld&) = delete;
};

}  // namespace perdure::engine
