// PageHashes: which of a few pages of a stopped process changed, by the XXH3 of each. 16 bytes a
// page.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "memory/copy.h"
#include "memory/page_set.h"

namespace perdure::memory {

class PageHashes {
 public:
  // The pages of `pages` whose content is not that of the last call, or that were not among the
  // pages of the last call. A page that cannot be read counts as changed.
  Result<PageSet> changed(pid_t pid, const PageSet& pages);

 private:
  struct Entry {
    uint64_t page;
    uint64_t hash;
  };
  std::optional<Copier> copier_;
  std::vector<Entry> entries_;  // by page
};

}  // namespace perdure::memory
