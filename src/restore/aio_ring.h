// Rings of Linux-native asynchronous I/O (io_setup(2)): made anew, empty, and moved to where the
// program knows them.
#pragma once

#include "base/result.h"
#include "object/memory.pb.h"
#include "restore/site.h"

namespace perdure::restore {

Status make_aio_ring(const object::Vma& vma, Skeleton* skeleton, const Site& site);

// The number of events to ask io_setup(2) for so that the ring takes this many bytes (fs/aio.c:
// twice the number, two more, 32 bytes each, after a header of 32).
uint32_t aio_events_for_ring(uint64_t bytes);

}  // namespace perdure::restore
