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
// A call costs as much as a walk over so many pages.
constexpr uint64_t kGapPages = 256;
// 1 TiB of address space: 10 s of reading where nothing is mapped, more than any stop should last.
constexpr uint64_t kPagesReadMax = uint64_t{1} << 28;

PmScanArg argument_for(uint64_t start, uint64_t end) {
  PmScanArg argument{};
  argument.start = start;
  argument.end = end;
  return argument;
}

}  // namespace

uint64_t PageWalker::guard_bit() const { return features_.guard ? kPageIsGuard : 0; }

template <typename Visit>
Status PageWalker::for_each_region(const Fd& pagemap, PmScanArg argument, Visit visit) {
  if (regions_ == nullptr) regions_ = std::make_unique_for_overwrite<PageRegion[]>(kRegionsPerCall);
  while (argument.start < argument.end) {
    argument.vec = reinterpret_cast<uint64_t>(regions_.get());
    // The kernel makes room for as many, up to 12 KiB, in every call.
    argument.vec_len = std::min<uint64_t>(
        kRegionsPerCall, std::max<uint64_t>((argument.end - argument.start) >> kPageShift, 1));
    argument.walk_end = 0;
    size_t count = PD_TRY(kernel::pagemap_scan(pagemap, argument));
    PD_ASSERT(count <= kRegionsPerCall);
    for (size_t at = 0; at < count; ++at) visit(regions_[at]);
    PD_ASSERT(argument.walk_end > argument.start);
    argument.start = argument.walk_end;
  }
  return {};
}

Result<PageSet> PageWalker::scan_written(const Fd& pagemap, uint64_t start, uint64_t end) {
  PmScanArg argument = argument_for(start, end);
  argument.flags = kScanWpMatching;  // passes over mappings without protection
  argument.category_mask = kPageIsWritten | kPageIsPfnZero | guard_bit();
  argument.category_inverted = kPageIsPfnZero | guard_bit();
  argument.category_anyof_mask = kPageIsPresent | kPageIsSwapped;
  argument.return_mask = kPageIsWritten;
  PageSet written;
  PD_TRY(for_each_region(pagemap, argument, [&](const PageRegion& region) {
    written.add_bytes(region.start, region.end);
  }));
  return written;
}

// The kernel has a short way for exactly this question (fs/proc/task_mmu.c, Linux 6.7).
Result<PageSet> PageWalker::scan_written_again(const Fd& pagemap, uint64_t start, uint64_t end) {
  PmScanArg argument = argument_for(start, end);
  argument.flags = kScanWpMatching;
  argument.category_mask = argument.return_mask = kPageIsWritten;
  PageSet written;
  PD_TRY(for_each_region(pagemap, argument, [&](const PageRegion& region) {
    written.add_bytes(region.start, region.end);
  }));
  return written;
}

Result<PageSet> PageWalker::protect(const Fd& pagemap, const PageSet& written,
                                    const PageSet& never) {
  PageSet found;
  for (const PageRun& run : written.coalesced(kGapPages - 1).without(never).runs()) {
    const PageSet part =
        PD_TRY(scan_written(pagemap, run.first << kPageShift, run.end() << kPageShift));
    for (const PageRun& each : part.runs()) found.add(each);
  }
  return found;
}

Result<PageWalker::Look> PageWalker::look(const Fd& pagemap, uint64_t start, uint64_t end) {
  PmScanArg argument = argument_for(start, end);
  argument.category_inverted = kPageIsPresent;  // "present" now means "not present"
  argument.category_anyof_mask = kPageIsWritten | kPageIsPresent | kPageIsPfnZero | guard_bit();
  argument.return_mask = argument.category_anyof_mask | kPageIsSwapped | kPageIsWpAllowed;
  Look look;
  PD_TRY(for_each_region(pagemap, argument, [&](const PageRegion& region) {
    const auto is = [&](uint64_t category) { return (region.categories & category) != 0; };
    const bool guard = is(guard_bit());
    // Categories come back as they are, not inverted.
    const bool content = is(kPageIsPresent | kPageIsSwapped) && !is(kPageIsPfnZero) && !guard;
    if (!content) look.empty.add_bytes(region.start, region.end);
    if (guard) look.guard.add_bytes(region.start, region.end);
    if (content && is(kPageIsWritten) && is(kPageIsWpAllowed)) {
      look.written.add_bytes(region.start, region.end);
    }
  }));
  return look;
}

Result<PageSet> PageWalker::scan_changed(const Fd& pagemap, uint64_t start, uint64_t end) {
  PmScanArg argument = argument_for(start, end);
  argument.category_inverted = kPageIsPresent | kPageIsWpAllowed;
  argument.category_anyof_mask =
      kPageIsWritten | kPageIsPresent | kPageIsWpAllowed | kPageIsPfnZero | guard_bit();
  PageSet changed;
  PD_TRY(for_each_region(pagemap, argument, [&](const PageRegion& region) {
    changed.add_bytes(region.start, region.end);
  }));
  return changed;
}

PmScanArg PageWalker::populated_in(uint64_t start, uint64_t end, Among among) const {
  PmScanArg argument = argument_for(start, end);
  argument.category_mask = kPageIsFile | kPageIsPfnZero | guard_bit();
  if (among == Among::kUnprotected) argument.category_mask |= kPageIsWpAllowed;
  argument.category_inverted = argument.category_mask;
  argument.category_anyof_mask = kPageIsPresent | kPageIsSwapped;
  argument.return_mask = kPageIsPresent | kPageIsSwapped;
  return argument;
}

Result<bool> PageWalker::any_unprotected(const Fd& pagemap, const Area& area) {
  PmScanArg argument = populated_in(area.start, area.end, Among::kUnprotected);
  PageRegion region;
  argument.max_pages = 1;
  argument.vec = reinterpret_cast<uint64_t>(&region);
  argument.vec_len = 1;
  return PD_TRY(kernel::pagemap_scan(pagemap, argument)) != 0;
}

Result<PageSet> PageWalker::scan_populated(const Fd& pagemap, uint64_t start, uint64_t end,
                                           Among among) {
  const PmScanArg argument = populated_in(start, end, among);
  PageSet populated;
  PD_TRY(for_each_region(pagemap, argument, [&](const PageRegion& region) {
    populated.add_bytes(region.start, region.end);
  }));
  return populated;
}

Result<PageWalker::Walk> PageWalker::read(const Fd& pagemap, std::span<const Area> areas) {
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
          walk.guard.add(run);
          continue;
        }
        if ((entry & (kEntryPresent | kEntrySwapped)) == 0 || (entry & kEntryFile) != 0) continue;
        walk.populated.add(run);
        if (entry & kEntrySoftDirty) walk.soft_dirty.add(run);
      }
      page += count;
    }
  }
  return walk;
}

}  // namespace perdure::memory
