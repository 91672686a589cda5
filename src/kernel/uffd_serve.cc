#include "kernel/uffd_serve.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/limits.h"
#include "kernel/abi/userfaultfd.h"
#include "kernel/memory.h"

namespace perdure::kernel {
namespace {

constexpr uint64_t kFeatures = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |
                               UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP;
constexpr size_t kMessagesAtOnce = 64;

UffdMessage message_of(const uffd_msg& raw) {
  using Kind = UffdMessage::Kind;
  UffdMessage message;
  switch (raw.event) {
    case UFFD_EVENT_FORK:
      message.kind = Kind::kFork;
      message.child = Fd::adopt(static_cast<int>(raw.arg.fork.ufd));
      break;
    case UFFD_EVENT_REMAP:
      message.kind = Kind::kRemap;
      message.start = raw.arg.remap.from;
      message.size = raw.arg.remap.len;
      message.to = raw.arg.remap.to;
      break;
    case UFFD_EVENT_REMOVE:
    case UFFD_EVENT_UNMAP:
      message.kind = raw.event == UFFD_EVENT_REMOVE ? Kind::kRemove : Kind::kUnmap;
      message.start = raw.arg.remove.start;
      message.size = raw.arg.remove.end - raw.arg.remove.start;
      break;
    default:
      message.kind = Kind::kFault;
      message.start = raw.arg.pagefault.address & ~(kPageSize - 1);
      message.size = kPageSize;
  }
  return message;
}

// done: what the kernel wrote back, the bytes in place or a negative error number.
Result<Placement> placement_of(int error_number, int64_t done, uint64_t wanted, const char* what) {
  const uint64_t bytes = done > 0 ? static_cast<uint64_t>(done) : 0;
  if (error_number == 0) return Placement{wanted, Placed::kDone};
  // EAGAIN: a part, or nothing because of a message (ioctl_userfaultfd(2)).
  if (error_number == EAGAIN && bytes > 0) return Placement{bytes, Placed::kDone};
  switch (error_number) {
    case EAGAIN:
      return Placement{bytes, Placed::kChanging};
    case EEXIST:
      return Placement{bytes, Placed::kThere};
    case ENOENT:
    case EINVAL:
      return Placement{bytes, Placed::kNoMapping};
    case ESRCH:
      return Placement{bytes, Placed::kGone};
    default:
      return Error::system(error_number, what);
  }
}

}  // namespace

bool can_serve_faults() {
  const Fd uffd = Fd::adopt(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  return uffd.valid() && enable_uffd_serving(uffd).ok();
}

Status enable_uffd_serving(const Fd& uffd, Placing placing) {
  const uint64_t protection = placing == Placing::kProtected ? abi::kUffdFeatureWpAsync : 0;
  return enable_uffd(uffd, kFeatures | protection);
}

Status read_uffd_messages(const Fd& uffd, std::vector<UffdMessage>* messages) {
  std::array<uffd_msg, kMessagesAtOnce> raw;
  for (;;) {
    const ssize_t got = read(uffd.get(), raw.data(), sizeof(raw));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return {};
    if (got < 0) return Error::system(errno, "read", "page faults");
    const size_t count = static_cast<size_t>(got) / sizeof(uffd_msg);
    for (size_t i = 0; i < count; ++i) messages->push_back(message_of(raw[i]));
    if (count < raw.size()) return {};
  }
}

Result<Placement> place_pages(const Fd& uffd, RemoteAddr to, Bytes pages, Placing placing) {
  PD_ASSERT(pages.size() % kPageSize == 0 && !pages.empty());
  uffdio_copy request{};
  request.dst = to.value;
  request.src = reinterpret_cast<uint64_t>(pages.data());
  request.len = pages.size();
  if (placing == Placing::kProtected) request.mode = UFFDIO_COPY_MODE_WP;
  const int done = ioctl(uffd.get(), UFFDIO_COPY, &request);
  return placement_of(done == 0 ? 0 : errno, request.copy, pages.size(),
                      "give a process its pages");
}

Result<Placement> place_zeros(const Fd& uffd, RemoteAddr to, uint64_t size) {
  PD_ASSERT(size % kPageSize == 0 && size > 0);
  uffdio_zeropage request{};
  request.range = {to.value, size};
  const int done = ioctl(uffd.get(), UFFDIO_ZEROPAGE, &request);
  return placement_of(done == 0 ? 0 : errno, request.zeropage, size, "give a process empty pages");
}

void wake_waiters(const Fd& uffd, RemoteAddr start, uint64_t size) {
  uffdio_range range{start.value, size};
  (void)ioctl(uffd.get(), UFFDIO_WAKE, &range);
}

}  // namespace perdure::kernel
