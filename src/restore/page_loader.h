// Loads the pages of one mapping into a skeleton. Many pages of a new mapping go through the bulk
// loader. The others, if stored plainly, are read by the process itself straight from the segment
// file, and are verified before the group runs (site->unverified); compressed ones go by way of the
// engine.
#pragma once

#include "base/result.h"
#include "object/memory.pb.h"
#include "restore/bulk_loader.h"
#include "restore/site.h"

namespace perdure::restore {

// inherited: the address space whose pages the mapping holds already through fork; 0: none. bulk:
// null once it has said that it cannot.
Status load_pages(const object::Vma& vma, ObjectId inherited, Skeleton* skeleton, Site* site,
                  BulkLoader* bulk, CallStream* stream);

// Opens every segment that the epoch's private memory lies in, so that skeletons inherit the
// descriptors.
Status open_segments(const object::Graph& graph, const store::EpochReader& reader);

}  // namespace perdure::restore
