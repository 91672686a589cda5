#include "memory/fault_cost.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>

#include "base/clock.h"
#include "base/limits.h"
#include "base/result.h"
#include "kernel/abi/userfaultfd.h"
#include "kernel/memory.h"
#include "memory/page_walk.h"

namespace perdure::memory {
namespace {

constexpr size_t kTries = 8;

class Pages {
 public:
  Pages()
      : memory_(mmap(nullptr, kTries * kPageSize, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)) {}
  ~Pages() {
    if (valid()) munmap(memory_, kTries * kPageSize);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  bool valid() const { return memory_ != MAP_FAILED; }
  uint64_t start() const { return reinterpret_cast<uint64_t>(memory_); }
  void write(size_t page) const { static_cast<volatile uint8_t*>(memory_)[page * kPageSize] = 1; }

 private:
  void* memory_;
};

Result<uint64_t> measure() {
  const Pages pages;
  if (!pages.valid()) return Error(Code::kUnavailable, "no memory");
  for (size_t page = 0; page < kTries; ++page) pages.write(page);
  const Fd uffd = PD_TRY(kernel::create_userfaultfd());
  PD_TRY(kernel::enable_uffd(uffd, kernel::abi::kUffdFeatureWpAsync));
  PD_TRY(kernel::register_uffd_wp(uffd, pages.start(), kTries * kPageSize));
  const Fd pagemap = PD_TRY(kernel::open_proc_file(getpid(), "pagemap", O_RDONLY));
  PageWalker walker{TrackerFeatures()};
  PD_TRY(walker.scan_written(pagemap, pages.start(), pages.start() + kTries * kPageSize));
  const SystemClock clock;
  uint64_t least_ns = UINT64_MAX;
  for (size_t page = 0; page < kTries; ++page) {
    const uint64_t begin_ns = clock.monotonic_ns();
    pages.write(page);
    least_ns = std::min(least_ns, clock.monotonic_ns() - begin_ns);
  }
  return least_ns;
}

}  // namespace

uint64_t write_fault_ns() {
  static const uint64_t kCost = [] {
    const Result<uint64_t> cost = measure();
    return cost.ok() ? *cost : 0;
  }();
  return kCost;
}

}  // namespace perdure::memory
