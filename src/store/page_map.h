// Which stored bytes hold which pages of one object.
// Location: where a page is stored. Equal locations are the same stored bytes, whoever refers to
// them. PageMap: a sorted set of extents that do not overlap, cut into chunks of 512 pages (2 MiB)
// so that changing one page of a huge object costs one small chunk, and so that copies of a map
// share the chunks that did not change. PageSet: a sorted set of page ranges.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "store/format.h"

namespace perdure::store {

struct Location {
  uint32_t segment = 0;  // 0: absent
  uint32_t block = 0;    // of the frame; its first page of data lies one block further
  uint16_t slot = 0;     // page within the frame
  uint16_t flags = 0;    // kExtentCompressed

  bool operator==(const Location&) const = default;
  bool absent() const { return segment == 0; }
  bool compressed() const { return (flags & kExtentCompressed) != 0; }
  // Where the page lies in the segment file, if it is not compressed.
  uint64_t byte_offset() const { return (uint64_t{block} + 1 + slot) * kBlockSize; }
  // The location of the page `pages` further on in the same frame.
  Location advanced(uint64_t pages) const {
    Location result = *this;
    if (!absent()) result.slot = static_cast<uint16_t>(slot + pages);
    return result;
  }
};

// Pages that follow each other in the object and in one frame. The same 24 bytes in memory and on
// disk.
struct PageExtent {
  uint64_t first_page = 0;
  uint32_t count = 0;
  Location location;

  bool operator==(const PageExtent&) const = default;
  uint64_t end() const { return first_page + count; }
  // The part of this extent within [first, last).
  PageExtent clipped(uint64_t first, uint64_t last) const {
    const uint64_t from = std::max(first, first_page), to = std::min(last, end());
    return {from, static_cast<uint32_t>(to - from), location.advanced(from - first_page)};
  }
  bool continued_by(const PageExtent& next) const {
    return end() == next.first_page && location.advanced(count) == next.location;
  }
};
static_assert(sizeof(PageExtent) == 24);

inline constexpr uint64_t kChunkPages = 512;

class PageMap {
 public:
  using Chunk = std::vector<PageExtent>;
  struct Slot {
    uint64_t number;  // pages [number * kChunkPages, + kChunkPages)
    std::shared_ptr<Chunk> chunk;
  };

  // Maps these pages, whatever was there before. The location is not absent.
  void assign(const PageExtent& extent);
  void erase(uint64_t first_page, uint64_t count);
  void clear() { slots_.clear(); }
  bool empty() const { return slots_.empty(); }

  // The extents of a range, clipped to it, in order; those that touch in both ways are joined.
  std::vector<PageExtent> extents(uint64_t first_page, uint64_t end_page) const;
  std::vector<PageExtent> extents() const { return extents(0, UINT64_MAX); }
  uint64_t page_count() const;

  const std::vector<Slot>& slots() const { return slots_; }
  // Replaces the chunk of a slot by one with the same pages stored elsewhere.
  void replace_chunk(size_t slot, std::shared_ptr<Chunk> chunk) {
    slots_[slot].chunk = std::move(chunk);
  }

 private:
  size_t lower_bound(uint64_t number) const;
  Chunk& writable(uint64_t number);

  std::vector<Slot> slots_;  // by number; no chunk is empty
};

class PageSet {
 public:
  void add(uint64_t first_page, uint64_t count);
  void clear() { ranges_.clear(); }
  bool empty() const { return ranges_.empty(); }
  // First page of a range, and its end.
  const std::map<uint64_t, uint64_t>& ranges() const { return ranges_; }

 private:
  std::map<uint64_t, uint64_t> ranges_;
};

}  // namespace perdure::store
