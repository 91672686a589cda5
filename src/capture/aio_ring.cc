#include "capture/aio_ring.h"

#include <linux/aio_abi.h>
#include <sys/uio.h>

#include <cstdint>

#include "base/bytes.h"
#include "kernel/memory.h"

namespace perdure::capture {
namespace {

// The kernel's struct aio_ring (fs/aio.c), with its first event.
struct Ring {
  uint32_t id;
  uint32_t events;
  uint32_t head;
  uint32_t tail;
  uint32_t magic;
  uint32_t compatible_features;
  uint32_t incompatible_features;
  uint32_t header_length;
  io_event first;
};
static_assert(sizeof(Ring) == 64);

}  // namespace

Result<bool> aio_ring_used(pid_t pid, RemoteAddr ring) {
  Ring header{};
  iovec remote{reinterpret_cast<void*>(ring.value), sizeof(header)};
  MutableBytes local(reinterpret_cast<uint8_t*>(&header), sizeof(header));
  size_t got = PD_TRY(kernel::read_process(pid, {&remote, 1}, local));
  if (got != sizeof(header)) return Error(Code::kIo, "an AIO ring cannot be read");
  // Head and tail wrap around to 0; the event that was written first stays.
  return header.head != 0 || header.tail != 0 || header.first.obj != 0;
}

}  // namespace perdure::capture
