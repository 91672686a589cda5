#include "restore/page_diff.h"

#include <algorithm>

namespace perdure::restore {

using store::PageExtent;

PageDiff diff_pages(std::span<const PageExtent> wanted, std::span<const PageExtent> inherited) {
  PageDiff diff;
  size_t next = 0;
  memory::PageSet covered;
  for (const PageExtent& extent : wanted) {
    covered.add({extent.first_page, extent.count});
    while (next < inherited.size() && inherited[next].end() <= extent.first_page) ++next;
    uint64_t at = extent.first_page;
    for (size_t i = next; i < inherited.size() && inherited[i].first_page < extent.end(); ++i) {
      const uint64_t first = std::max(inherited[i].first_page, extent.first_page);
      const uint64_t end = std::min(inherited[i].end(), extent.end());
      if (inherited[i].clipped(first, end).location != extent.clipped(first, end).location)
        continue;
      if (at < first) diff.load.push_back(extent.clipped(at, first));
      diff.kept += end - first;
      at = end;
    }
    if (at < extent.end()) diff.load.push_back(extent.clipped(at, extent.end()));
  }
  memory::PageSet present;
  for (const PageExtent& extent : inherited) present.add({extent.first_page, extent.count});
  diff.drop = present.without(covered);
  return diff;
}

}  // namespace perdure::restore
