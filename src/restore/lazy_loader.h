// LazyLoader: leaves the large anonymous mappings of one skeleton empty and hands them over to the
// pager in the group's init (page_host.h), instead of loading them before the program runs.
//
// Loaded at once are: what fork(2) shares with another process, mappings of files, stacks, locked
// memory, and programs so small that a pager would take longer than their pages.
#pragma once

#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "object/memory.pb.h"
#include "restore/lazy_space.h"
#include "restore/site.h"

namespace perdure::restore {

class LazyLoader {
 public:
  LazyLoader(Skeleton* skeleton, Site* site) : skeleton_(*skeleton), site_(*site) {}

  // Decides which mappings are left empty; none if the kernel does not let us, or it is not worth
  // it.
  Status choose();
  bool takes(const object::Vma& vma) const;
  // Once the mappings are there: from here on every touch of them waits for the pager.
  Status hand_over();

 private:
  Skeleton& skeleton_;
  Site& site_;
  LazySpace chosen_;
  Fd uffd_;
};

}  // namespace perdure::restore
