#include "memory/fault_cost.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>

#include "base/clock.h"
#include "base/limits.h"
#include "base/result.h"
#include "kernel/abi/userfaultfd.h"
#include "kernel/memory.h"
#include "memory/page_walk.h"

namespace perdure::memory {
namespace {

constexpr size_t kTries = 15;
// Neighbours share what it costs to find them.
constexpr size_t kApart = 64u << 10;
constexpr size_t kBytes = kTries * kApart;

class Pages {
 public:
  Pages()
      : memory_(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (valid()) (void)madvise(memory_, kBytes, MADV_NOHUGEPAGE);
  }
  ~Pages() {
    if (valid()) munmap(memory_, kBytes);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  bool valid() const { return memory_ != MAP_FAILED; }
  uint64_t start() const { return reinterpret_cast<uint64_t>(memory_); }
  void write(size_t number) const { static_cast<volatile uint8_t*>(memory_)[number * kApart] = 1; }

 private:
  void* memory_;
};

Result<uint64_t> measure() {
  const Pages pages;
  if (!pages.valid()) return Error(Code::kUnavailable, "no memory");
  for (size_t number = 0; number < kTries; ++number) pages.write(number);
  const Fd uffd = PD_TRY(kernel::create_userfaultfd());
  PD_TRY(kernel::enable_uffd(uffd, kernel::abi::kUffdFeatureWpAsync));
  PD_TRY(kernel::register_uffd_wp(uffd, pages.start(), kBytes));
  const Fd pagemap = PD_TRY(kernel::open_proc_file(getpid(), "pagemap", O_RDONLY));
  PageWalker walker{TrackerFeatures()};
  PD_TRY(walker.scan_written(pagemap, pages.start(), pages.start() + kBytes));
  const SystemClock clock;
  std::array<uint64_t, kTries> took_ns{};
  for (size_t number = 0; number < kTries; ++number) {
    const uint64_t begin_ns = clock.monotonic_ns();
    pages.write(number);
    took_ns[number] = clock.monotonic_ns() - begin_ns;
  }
  std::sort(took_ns.begin(), took_ns.end());
  return took_ns[kTries / 2];
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
