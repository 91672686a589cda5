#include "memory/areas.h"

namespace perdure::memory {

PageSet pages_of(std::span<const Area> areas, AreaKind kind) {
  PageSet pages;
  pages.reserve(areas.size());
  for (const Area& area : areas) {
    if (area.kind == kind) pages.add_bytes(area.start, area.end);
  }
  return pages;
}

PageSet pages_of(std::span<const Area> areas) {
  PageSet pages;
  pages.reserve(areas.size());
  for (const Area& area : areas) pages.add_bytes(area.start, area.end);
  return pages;
}

}  // namespace perdure::memory
