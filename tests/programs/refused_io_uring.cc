// An io_uring with its mapped rings: refused, named by descriptor, unharmed; requests go on to
// complete.

// test: refused

#include <linux/io_uring.h>
#include <sys/mman.h>

#include "support/program.h"

int main() {
  io_uring_params parameters = {};
  long ring = syscall(SYS_io_uring_setup, 4, &parameters);
  if (ring < 0) done();  // not allowed here: nothing to refuse
  size_t size = parameters.sq_off.array + parameters.sq_entries * sizeof(uint32_t);
  auto* queue = static_cast<char*>(
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, int(ring), IORING_OFF_SQ_RING));
  auto* entries = static_cast<io_uring_sqe*>(
      mmap(nullptr, parameters.sq_entries * sizeof(io_uring_sqe), PROT_READ | PROT_WRITE,
           MAP_SHARED, int(ring), IORING_OFF_SQES));
  CHECK(queue != MAP_FAILED && entries != MAP_FAILED);
  checkpoint_here();
  entries[0].opcode = IORING_OP_NOP;
  reinterpret_cast<uint32_t*>(queue + parameters.sq_off.array)[0] = 0;
  __atomic_store_n(reinterpret_cast<uint32_t*>(queue + parameters.sq_off.tail), 1,
                   __ATOMIC_RELEASE);
  CHECK_EQ(SYS(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0)), 1);
  done();
}
