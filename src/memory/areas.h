// Areas as sets of pages, for the trackers.
#pragma once

#include <span>

#include "memory/page_set.h"
#include "memory/tracker.h"

namespace perdure::memory {

// The pages of the areas of one kind.
PageSet pages_of(std::span<const Area> areas, AreaKind kind);
// The pages of all areas.
PageSet pages_of(std::span<const Area> areas);

}  // namespace perdure::memory
