// Loads the pages of one mapping into a skeleton. Stored plainly, they go from the segment file
// straight into the process, which reads them itself; compressed, by way of the engine. Checksums
// of what is read plainly are verified apart (verify_in_background), before the group runs.
#pragma once

#include "base/result.h"
#include "object/memory.pb.h"
#include "restore/site.h"

namespace perdure::restore {

// inherited: the address space whose pages the mapping holds already through fork; 0: none.
Status load_pages(const object::Vma& vma, ObjectId inherited, Skeleton* skeleton, Site* site,
                  CallStream* stream);

// Opens every segment that the epoch's private memory lies in, so that skeletons inherit the
// descriptors.
Status open_segments(const object::Graph& graph, const store::EpochReader& reader);

}  // namespace perdure::restore
