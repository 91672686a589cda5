#include "kernel/uffd_copy.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace perdure::kernel {

Status register_uffd_missing(const Fd& uffd, RemoteAddr start, uint64_t size,
                             WriteProtection protection) {
  uffdio_register request{};
  request.range = {start.value, size};
  request.mode = UFFDIO_REGISTER_MODE_MISSING;
  if (protection == WriteProtection::kToo) request.mode |= UFFDIO_REGISTER_MODE_WP;
  if (ioctl(uffd.get(), UFFDIO_REGISTER, &request) != 0)
    return Error::system(errno, "register memory to be filled");
  return {};
}

Status unregister_uffd(const Fd& uffd, RemoteAddr start, uint64_t size) {
  uffdio_range range{start.value, size};
  if (ioctl(uffd.get(), UFFDIO_UNREGISTER, &range) != 0)
    return Error::system(errno, "unregister filled memory");
  return {};
}

Status copy_missing_pages(const Fd& uffd, RemoteAddr to, Bytes pages) {
  uint64_t done = 0;
  while (done < pages.size()) {
    uffdio_copy request{};
    request.dst = to.value + done;
    request.src = reinterpret_cast<uint64_t>(pages.data()) + done;
    request.len = pages.size() - done;
    // No thread waits for these pages.
    request.mode = UFFDIO_COPY_MODE_DONTWAKE;
    if (ioctl(uffd.get(), UFFDIO_COPY, &request) == 0) return {};
    // EAGAIN: a part was copied (ioctl_userfaultfd(2)).
    if (errno != EAGAIN || request.copy < 0) return Error::system(errno, "fill memory");
    done += static_cast<uint64_t>(request.copy);
  }
  return {};
}

}  // namespace perdure::kernel
