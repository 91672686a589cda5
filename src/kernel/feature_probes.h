// Tries one feature on ourselves. Leaves nothing behind; may fork a child that lives for the length
// of the call.
#pragma once

#include "kernel/features.h"

namespace perdure::kernel {

bool probe_feature(Feature feature);

}  // namespace perdure::kernel
