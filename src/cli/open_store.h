// A group's store, opened for reading beside whoever writes it.
#pragma once

#include <memory>

#include "base/result.h"
#include "daemon/places.h"
#include "store/store.h"

namespace perdure::cli {

Result<std::unique_ptr<store::Store>> open_store(const daemon::GroupPlace& place);

}  // namespace perdure::cli
