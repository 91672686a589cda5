#include "restore/bulk_loader.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "base/limits.h"
#include "kernel/memory.h"
#include "kernel/uffd_copy.h"
#include "restore/take_uffd.h"

namespace perdure::restore {
namespace {

// More threads than this only wait for each other's locks on the address space.
constexpr unsigned kThreadsMax = 4;

}  // namespace

bool BulkLoader::take(const object::Vma& vma, const std::vector<store::PageExtent>& extents) {
  if (vma.kind() != object::Vma::ANONYMOUS || vma.grows_down() || vma.droppable()) return false;
  uint64_t pages = 0;
  for (const store::PageExtent& extent : extents) pages += extent.count;
  if (pages < kPagesMin) return false;
  pages_ += pages;
  ranges_.push_back({RemoteAddr(vma.start()), vma.end() - vma.start()});
  for (const store::PageExtent& extent : extents) add(extent);
  return true;
}

void BulkLoader::add(const store::PageExtent& extent) {
  for (uint64_t first = extent.first_page; first < extent.end();) {
    if (parts_.empty() || next_page_ != first || last_part_pages_ == kPartPages) {
      parts_.push_back({first, {}});
      last_part_pages_ = 0;
    }
    const uint64_t end = std::min(extent.end(), first + kPartPages - last_part_pages_);
    parts_.back().extents.push_back(extent.clipped(first, end));
    last_part_pages_ += end - first;
    next_page_ = first = end;
  }
}

Result<bool> BulkLoader::open() {
  uffd_ = PD_TRY(take_uffd(&skeleton_, site_, Faults::kUserMode));
  return uffd_.valid() && kernel::enable_uffd(uffd_, 0).ok();
}

Status BulkLoader::load() {
  if (parts_.empty()) return {};
  for (const Range& range : ranges_)
    PD_TRY(kernel::register_uffd_missing(uffd_, range.start, range.size));
  PD_TRY(load_parts());
  for (const Range& range : ranges_)
    PD_TRY(kernel::unregister_uffd(uffd_, range.start, range.size));
  return {};
}

Status BulkLoader::load_parts() {
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  Status failure;
  auto work = [&] {
    std::vector<uint8_t> memory((kPartPages + 1) * kPageSize);
    uint8_t* aligned =
        memory.data() +
        (kPageSize - reinterpret_cast<uint64_t>(memory.data()) % kPageSize) % kPageSize;
    const MutableBytes buffer(aligned, kPartPages * kPageSize);
    for (size_t i = next++; i < parts_.size(); i = next++) {
      Status loaded = load_part(parts_[i], buffer);
      if (loaded.ok()) continue;
      const std::lock_guard lock(mutex);
      failure = std::move(loaded);
      next = parts_.size();
    }
  };
  const size_t wanted = std::min<size_t>(
      {std::max(1u, std::thread::hardware_concurrency()), kThreadsMax, parts_.size()});
  std::vector<std::thread> helpers;
  for (size_t i = 1; i < wanted; ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
  return failure;
}

Status BulkLoader::load_part(const Part& part, MutableBytes buffer) const {
  uint64_t filled = 0;
  for (const store::PageExtent& extent : part.extents) {
    const uint64_t size = uint64_t{extent.count} * kPageSize;
    PD_TRY(site_.reader.read_pages(extent, buffer.subspan(filled, size)));
    filled += size;
  }
  return kernel::copy_missing_pages(uffd_, RemoteAddr(part.first_page * kPageSize),
                                    buffer.first(filled));
}

}  // namespace perdure::restore
