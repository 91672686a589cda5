// The mount namespace of a group's init, before anything is mounted in it.
#pragma once

#include "base/result.h"

namespace perdure::kernel {

// Called once, in a fresh mount namespace: mounts of the host still arrive afterwards, ours do not
// leave. Below a changed root (chroot(2)) that root becomes the namespace's own, so that the
// group's paths are the same inside of it and for its engine; the current folder stays.
Status keep_mounts();

}  // namespace perdure::kernel
