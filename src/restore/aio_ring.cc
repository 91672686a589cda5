#include "restore/aio_ring.h"

#include <sys/mman.h>
#include <sys/syscall.h>

namespace perdure::restore {

uint32_t aio_events_for_ring(uint64_t bytes) {
  constexpr uint64_t kHeader = 32;
  constexpr uint64_t kEvent = 32;
  return static_cast<uint32_t>(((bytes - kHeader) / kEvent - 2) / 2);
}

Status make_aio_ring(const object::Vma& vma, Skeleton* skeleton, const Site& site) {
  const uint64_t size = vma.end() - vma.start();
  kernel::Batch batch = site.area.batch();
  RemoteCalls making(&batch, skeleton->name());
  const RemoteAddr context = batch.out(8);
  making.add("make an aio context", SYS_io_setup, {aio_events_for_ring(size), context});
  PD_TRY(site.area.run(&skeleton->leader, &batch));
  PD_TRY(making.check());
  const uint64_t ring = batch.value<uint64_t>(context);
  // A context is known to the program by the address of its ring; the kernel follows the move
  // (fs/aio.c, aio_ring_mremap).
  return run_calls(site, &skeleton->leader, skeleton->name(), [&](RemoteCalls* calls) {
    calls->add("move an aio ring", SYS_mremap,
               {ring, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, vma.start()});
  });
}

}  // namespace perdure::restore
