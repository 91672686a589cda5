#include "restore/lazy_loader.h"

#include <algorithm>

#include "base/limits.h"
#include "kernel/uffd_copy.h"
#include "kernel/uffd_serve.h"
#include "restore/take_uffd.h"

namespace perdure::restore {
namespace {

using object::Vma;

memory::PageRun pages_of(const Vma& vma) {
  return {vma.start() >> kPageShift, (vma.end() - vma.start()) >> kPageShift};
}

}  // namespace

Status LazyLoader::choose() {
  const LazyPolicy& policy = site_.lazy;
  if (!policy.hand_over || skeleton_.memory_of.value != 0) return {};
  chosen_.space = ObjectId(skeleton_.process().address_space());
  const auto mappings = policy.outlook->lazy.find(chosen_.space);
  if (mappings == policy.outlook->lazy.end()) return {};
  uint64_t stored = 0;
  for (const LazyMapping& mapping : mappings->second) {
    stored += mapping.pages_stored;
    chosen_.ranges.push_back(mapping.run);
  }
  uffd_ = PD_TRY(take_uffd(&skeleton_, site_, Faults::kAll));
  if (uffd_.valid() && !kernel::enable_uffd_serving(uffd_, policy.placing).ok()) uffd_.reset();
  if (uffd_.valid()) {
    site_.pages_lazy += stored;
  } else {
    chosen_.ranges.clear();
  }
  return {};
}

bool LazyLoader::takes(const Vma& vma) const {
  const memory::PageRun run = pages_of(vma);
  return std::find(chosen_.ranges.begin(), chosen_.ranges.end(), run) != chosen_.ranges.end();
}

Status LazyLoader::hand_over() {
  if (chosen_.ranges.empty()) return {};
  const auto protection = site_.lazy.placing == kernel::Placing::kProtected
                              ? kernel::WriteProtection::kToo
                              : kernel::WriteProtection::kNone;
  for (const memory::PageRun& run : chosen_.ranges) {
    PD_TRY(kernel::register_uffd_missing(uffd_, RemoteAddr(run.first << kPageShift),
                                         run.count << kPageShift, protection));
  }
  PD_TRY(site_.lazy.hand_over(chosen_, uffd_));
  uffd_.reset();
  return {};
}

}  // namespace perdure::restore
