// LazySpace: what the engine tells the group's init about an address space whose pages it is to
// bring. As bytes, for the way there; a userfaultfd travels beside them.
#pragma once

#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "memory/page_set.h"

namespace perdure::restore {

struct LazySpace {
  ObjectId space;
  std::vector<memory::PageRun> ranges;  // whole mappings, registered for missing pages
};

std::string encode_lazy_space(const LazySpace& space);
Result<LazySpace> decode_lazy_space(const std::string& bytes);

}  // namespace perdure::restore
