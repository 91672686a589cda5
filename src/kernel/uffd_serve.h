// userfaultfd(2) for serving the first touches of another process's memory: messages, and pages put
// in their place.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"

namespace perdure::kernel {

// What the kernel tells. For every kind but kFault the process waits until the message was read;
// from the change until then pages are refused (Placed::kChanging).
struct UffdMessage {
  enum class Kind : uint8_t {
    kFault,   // a thread waits for the page at `start`
    kFork,    // `child` serves the copy of this memory that a child of fork(2) got
    kRemap,   // `size` bytes went from `start` to `to`
    kRemove,  // [start, start + size) reads as zeros from now on (madvise(2), MADV_DONTNEED)
    kUnmap,   // [start, start + size) is no longer mapped
  };
  Kind kind = Kind::kFault;
  uint64_t start = 0;
  uint64_t size = 0;
  uint64_t to = 0;
  Fd child;
};

// Whether this kernel and our privileges allow what this file does.
bool can_serve_faults();
// UFFDIO_API with everything that UffdMessage knows. kUnavailable, kPermission: not allowed here.
// kProtected: pages are placed protected against writing; the first write ends that without a
// message (asynchronous write protection, Linux 6.7), and PAGEMAP_SCAN tells.
enum class Placing : uint8_t { kWritable, kProtected };
Status enable_uffd_serving(const Fd& uffd, Placing placing = Placing::kWritable);
// Appends all messages that wait.
Status read_uffd_messages(const Fd& uffd, std::vector<UffdMessage>* messages);

enum class Placed : uint8_t {
  kDone,
  kThere,      // the next page is there already
  kChanging,   // a message has to be read first
  kNoMapping,  // the rest is not within one mapping that is served
  kGone,       // the process has ended, or executes another program
};
struct Placement {
  uint64_t bytes = 0;  // that were put in place before
  Placed end = Placed::kDone;
};
// UFFDIO_COPY, UFFDIO_ZEROPAGE of whole pages; wakes who waits for them. Zeros are never protected.
Result<Placement> place_pages(const Fd& uffd, RemoteAddr to, Bytes pages, Placing placing);
Result<Placement> place_zeros(const Fd& uffd, RemoteAddr to, uint64_t size);
// Threads that wait for pages of the range look again.
void wake_waiters(const Fd& uffd, RemoteAddr start, uint64_t size);

}  // namespace perdure::kernel
