// Outlook: what a restore will do with the private memory of an epoch, worked out once, before the
// first process is made: which mappings may be left for the pager (lazy_loader.h), which pages of
// those are likely to be touched first, and what is loaded before the group runs. Pure but for what
// it reads of the epoch's index.
//
// Likely to be touched first are small mappings (heaps, arenas, what a library or a language keeps
// beside the data that a program holds), and what was written last into the log.
#pragma once

#include <map>
#include <vector>

#include "base/ids.h"
#include "memory/page_set.h"
#include "object/graph.h"
#include "restore/plan.h"
#include "store/epoch_reader.h"

namespace perdure::restore {

struct LazyMapping {
  memory::PageRun run;  // the whole mapping
  uint64_t pages_stored = 0;
};

// Pages that are read as one; at most memory::ReadAhead::kBlockPages.
struct HotRun {
  ObjectId space;
  memory::PageRun run;
};

struct Outlook {
  std::map<ObjectId, std::vector<LazyMapping>> lazy;  // by address space
  std::vector<store::PageExtent> at_once;             // of the others, unless they are many
};

// Mappings with fewer stored pages are loaded at once, and so are address spaces with fewer such
// pages.
struct Smallest {
  uint64_t mapping_pages = 0;
  uint64_t space_pages = 0;
};
Outlook outlook_of(const object::Graph& graph, const Plan& plan, const store::EpochReader& reader,
                   const Smallest& smallest);

// The stored pages of an address space that are left for the pager.
memory::PageSet lazy_pages(const Outlook& outlook, const store::EpochReader& reader,
                           ObjectId space);

// In the order in which they are to be read.
std::vector<HotRun> hot_runs(const Outlook& outlook, const store::EpochReader& reader);

}  // namespace perdure::restore
