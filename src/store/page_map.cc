#include "store/page_map.h"

#include "base/assert.h"

namespace perdure::store {
namespace {

// Where the extents that end behind `page` begin.
PageMap::Chunk::iterator first_ending_behind(PageMap::Chunk& chunk, uint64_t page) {
  return std::partition_point(chunk.begin(), chunk.end(),
                              [&](const PageExtent& extent) { return extent.end() <= page; });
}

// Removes [first, last) from the chunk; returns where an extent for that range belongs.
PageMap::Chunk::iterator cut(PageMap::Chunk& chunk, uint64_t first, uint64_t last) {
  auto at = first_ending_behind(chunk, first);
  if (at == chunk.end() || at->first_page >= last) return at;
  if (at->first_page < first) {
    const PageExtent left = at->clipped(at->first_page, first);
    if (at->end() > last) {
      const PageExtent right = at->clipped(last, at->end());
      *at = left;
      return chunk.insert(at + 1, right);
    }
    *at = left;
    ++at;
  }
  auto until = at;
  while (until != chunk.end() && until->end() <= last) ++until;
  at = chunk.erase(at, until);
  if (at != chunk.end() && at->first_page < last) *at = at->clipped(last, at->end());
  return at;
}

void place(PageMap::Chunk& chunk, const PageExtent& extent) {
  if (chunk.empty() || chunk.back().end() <= extent.first_page) {  // the usual case: in order
    if (!chunk.empty() && chunk.back().continued_by(extent)) {
      chunk.back().count += extent.count;
    } else {
      chunk.push_back(extent);
    }
    return;
  }
  auto at = cut(chunk, extent.first_page, extent.end());
  if (at != chunk.begin() && std::prev(at)->continued_by(extent)) {
    std::prev(at)->count += extent.count;
  } else {
    chunk.insert(at, extent);
  }
}

void append_joined(std::vector<PageExtent>& out, const PageExtent& extent) {
  if (!out.empty() && out.back().continued_by(extent)) {
    out.back().count += extent.count;
  } else {
    out.push_back(extent);
  }
}

}  // namespace

size_t PageMap::lower_bound(uint64_t number) const {
  if (slots_.empty() || slots_.back().number < number) return slots_.size();
  const auto at = std::partition_point(slots_.begin(), slots_.end(),
                                       [&](const Slot& slot) { return slot.number < number; });
  return static_cast<size_t>(at - slots_.begin());
}

PageMap::Chunk& PageMap::writable(uint64_t number) {
  const size_t at = lower_bound(number);
  if (at == slots_.size() || slots_[at].number != number) {
    const auto inserted = slots_.insert(slots_.begin() + static_cast<ptrdiff_t>(at),
                                        Slot{number, std::make_shared<Chunk>()});
    return *inserted->chunk;
  }
  std::shared_ptr<Chunk>& chunk = slots_[at].chunk;
  if (chunk.use_count() > 1) chunk = std::make_shared<Chunk>(*chunk);
  return *chunk;
}

void PageMap::assign(const PageExtent& extent) {
  PD_ASSERT(!extent.location.absent() && extent.end() >= extent.first_page);
  for (uint64_t page = extent.first_page; page < extent.end();) {
    const uint64_t number = page / kChunkPages;
    const uint64_t end = std::min(extent.end(), (number + 1) * kChunkPages);
    place(writable(number), extent.clipped(page, end));
    page = end;
  }
}

void PageMap::erase(uint64_t first_page, uint64_t count) {
  const uint64_t end_page = first_page + count;
  PD_ASSERT(end_page >= first_page);
  size_t at = lower_bound(first_page / kChunkPages);
  size_t kept = at;
  for (; at < slots_.size(); ++at) {
    const uint64_t begin = slots_[at].number * kChunkPages;
    if (begin >= end_page) break;
    if (begin < first_page || begin + kChunkPages > end_page) {
      Chunk& chunk = writable(slots_[at].number);
      cut(chunk, first_page, end_page);
      if (!chunk.empty()) {
        if (kept != at) slots_[kept] = std::move(slots_[at]);
        ++kept;
      }
    }
  }
  slots_.erase(slots_.begin() + static_cast<ptrdiff_t>(kept),
               slots_.begin() + static_cast<ptrdiff_t>(at));
}

std::vector<PageExtent> PageMap::extents(uint64_t first_page, uint64_t end_page) const {
  std::vector<PageExtent> out;
  for (size_t at = lower_bound(first_page / kChunkPages); at < slots_.size(); ++at) {
    if (slots_[at].number * kChunkPages >= end_page) break;
    for (const PageExtent& extent : *slots_[at].chunk) {
      if (extent.end() <= first_page || extent.first_page >= end_page) continue;
      append_joined(out, extent.clipped(first_page, end_page));
    }
  }
  return out;
}

uint64_t PageMap::page_count() const {
  uint64_t pages = 0;
  for (const Slot& slot : slots_) {
    for (const PageExtent& extent : *slot.chunk) pages += extent.count;
  }
  return pages;
}

void PageSet::add(uint64_t first_page, uint64_t count) {
  if (count == 0) return;
  uint64_t first = first_page, end = first_page + count;
  auto at = ranges_.upper_bound(first);
  if (at != ranges_.begin() && std::prev(at)->second >= first) --at;
  while (at != ranges_.end() && at->first <= end) {
    first = std::min(first, at->first);
    end = std::max(end, at->second);
    at = ranges_.erase(at);
  }
  ranges_.emplace_hint(at, first, end);
}

}  // namespace perdure::store
