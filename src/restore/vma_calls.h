// Which calls make one mapping. Pure: records in, calls out.
#pragma once

#include "base/result.h"
#include "object/memory.pb.h"
#include "restore/site.h"

namespace perdure::restore {

// Private memory, whose pages the store holds under the address space's id.
bool holds_pages(const object::Vma& vma);

// True if fork(2) gives a child this mapping as it is in the parent, and it is `child`'s record.
bool survives_fork_unchanged(const object::Vma& parent, const object::Vma& child);

// Maps it, writable if pages may have to be written into it. Not for the vdso, which is moved, and
// aio rings.
Status add_mapping(const object::Vma& vma, const Site& site, CallStream* stream);

enum class Origin : uint8_t { kNew, kInherited };
// Its protection, advice, locks and guard pages, once its pages are there.
Status add_mapping_end(const object::Vma& vma, Origin origin, CallStream* stream);

}  // namespace perdure::restore
