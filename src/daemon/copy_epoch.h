// Copies one epoch into another store: records and pages under the same ids, pages that are stored
// once stay stored once. What a restore under a new name begins with, so that the copy lives on
// without the original.
#pragma once

#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "store/store.h"

namespace perdure::daemon {

// source: a group's folder; epoch: 0 is the newest. The number of the new epoch.
Result<Epoch> copy_epoch(const std::string& source, Epoch epoch, store::Store& target);

}  // namespace perdure::daemon
