// What has to be done to the pages of an address space so that it holds those of an epoch. Pure.
#pragma once

#include <span>
#include <vector>

#include "memory/page_set.h"
#include "store/page_map.h"

namespace perdure::restore {

struct PageDiff {
  std::vector<store::PageExtent> load;  // to be read from the store
  memory::PageSet drop;                 // present through inheritance, absent in the epoch
  uint64_t kept = 0;  // pages that stay shared with the process they were inherited from
};

// wanted: the epoch's pages of [first, end); inherited: those that are there already through fork,
// as the store located them for the parent (empty: none). All ascending.
PageDiff diff_pages(std::span<const store::PageExtent> wanted,
                    std::span<const store::PageExtent> inherited);

}  // namespace perdure::restore
