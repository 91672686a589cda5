// Copies the held pages of one process that runs (held_pages.h), and finds out which of these
// copies are what the pages held when the process stood still.
#pragma once

#include <sys/types.h>

#include <span>

#include "base/fd.h"
#include "base/result.h"
#include "memory/copy.h"
#include "memory/page_set.h"
#include "memory/page_walk.h"
#include "memory/write_guide.h"

namespace perdure::memory {

class HeldCopier {
 public:
  // pagemap: opened while the process stood still, so that it belongs to the address space of then.
  HeldCopier(pid_t pid, const Fd& pagemap, PageWalker& walker, WatchedSpace& space,
             kernel::LazyTaskImages* images)
      : pid_(pid), pagemap_(pagemap), walker_(walker), space_(space), images_(images) {}

  // Gives up all pages of `held`. Returns those whose content of then is lost.
  Result<PageSet> copy(const PageSet& held, Copier& copier, const PageSink& sink, Access access,
                       const PageRoom& room);

 private:
  Result<PageSet> not_ours(std::span<const PageRun> pieces);
  Result<PageSet> doubtful(const PageSet& copied);

  pid_t pid_;
  const Fd& pagemap_;
  PageWalker& walker_;
  WatchedSpace& space_;
  kernel::LazyTaskImages* images_;  // may be null
};

}  // namespace perdure::memory
