#include "memory/page_walk.h"

#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "kernel/memory.h"

namespace perdure::memory {
namespace {

using namespace kernel::abi;

constexpr size_t kRegionsPerCall = 8192;
constexpr uint64_t kEntriesPerRead = 8192;
// 1 TiB of address space: 10 s of reading where nothing is mapped, more than any stop should last.
constexpr uint64_t kPagesReadMax = uint64_t{1} << 28;

}  // namespace

template <typename Visit>
Status PageWalker::for_each_region(const Fd& pagemap, PmScanArg argument, Visit visit) {
  if (regions_.empty()) regions_.resize(kRegionsPerCall);
  while (argument.start < argument.end) {
    argument.vec = reinterpret_cast<uint64_t>(regions_.data());
    argument.vec_len = regions_.size();
    argument.walk_end = 0;
    size_t count = PD_TRY(kernel::pagemap_scan(pagemap, argument));
    PD_ASSERT(count <= regions_.size());
    for (size_t at = 0; at < count; ++at) visit(regions_[at]);
    PD_ASSERT(argument.walk_end > argument.start);
    argument.start = argument.walk_end;
  }
  return {};
}

Result<Walk> PageWalker::scan(const Fd& pagemap, uint64_t start, uint64_t end, WalkKind kind) {
  PmScanArg argument{};
  argument.start = start;
  argument.end = end;
  argument.category_mask = kPageIsFile | kPageIsPfnZero;
  if (features_.guard) argument.category_mask |= kPageIsGuard;
  argument.category_inverted = argument.category_mask;
  argument.category_anyof_mask = kPageIsPresent | kPageIsSwapped;
  argument.return_mask = kPageIsWritten;
  if (kind == WalkKind::kProtected) argument.flags = kScanWpMatching;
  if (kind == WalkKind::kUnprotectedOnly) {
    argument.category_mask |= kPageIsWpAllowed;
    argument.category_inverted |= kPageIsWpAllowed;
  }
  Walk walk;
  PD_TRY(for_each_region(pagemap, argument, [&](const PageRegion& region) {
    walk.populated.add_bytes(region.start, region.end);
    if ((region.categories & kPageIsWritten) != 0) walk.written.add_bytes(region.start, region.end);
  }));
  return walk;
}

Result<PageSet> PageWalker::scan_guard_pages(const Fd& pagemap, uint64_t start, uint64_t end) {
  PageSet guard;
  if (!features_.guard) return guard;
  PmScanArg argument{};
  argument.start = start;
  argument.end = end;
  argument.category_mask = kPageIsGuard;
  argument.return_mask = kPageIsGuard;
  PD_TRY(for_each_region(pagemap, argument, [&](const PageRegion& region) {
    guard.add_bytes(region.start, region.end);
  }));
  return guard;
}

Result<Walk> PageWalker::read(const Fd& pagemap, std::span<const Area> areas, PageSet* guard) {
  if (entries_.empty()) entries_.resize(kEntriesPerRead);
  Walk walk;
  uint64_t total = 0;
  for (const Area& area : areas) {
    total += (area.end - area.start) >> kPageShift;
    if (total > kPagesReadMax) {
      return Error(Code::kLimit, "a process has reserved more than 1 TiB of address space")
          .with_remedy("use a kernel with PAGEMAP_SCAN (Linux 6.7)");
    }
    for (uint64_t page = area.start >> kPageShift; page < area.end >> kPageShift;) {
      uint64_t wanted = std::min((area.end >> kPageShift) - page, kEntriesPerRead);
      size_t count = PD_TRY(kernel::read_pagemap(pagemap, page, {entries_.data(), wanted}));
      if (count == 0) return Error(Code::kGone, "the address space has ended");
      for (size_t at = 0; at < count; ++at) {
        uint64_t entry = entries_[at];
        PageRun run{page + at, 1};
        if (entry & kEntryGuard) {
          if (guard != nullptr) guard->add(run);
          continue;
        }
        if ((entry & (kEntryPresent | kEntrySwapped)) == 0 || (entry & kEntryFile) != 0) continue;
        walk.populated.add(run);
        if (entry & kEntrySoftDirty) walk.written.add(run);
      }
      page += count;
    }
  }
  return walk;
}

}  // namespace perdure::memory
