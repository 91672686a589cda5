// Reading pages out of their frames, checked.
#pragma once

#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "store/frame.h"
#include "store/page_map.h"

namespace perdure::store {

// out is extent.count pages.
Status read_extent(const SegmentSet& segments, const PageExtent& extent, MutableBytes out);
// The same for bytes that are needed once: many of them go past the page cache if they are not in
// it already. out is aligned to a page.
inline constexpr uint32_t kStreamPagesMin = 64;
Status stream_extent(const SegmentSet& segments, const PageExtent& extent, MutableBytes out);
// Has what read_extent() will need of these read into the page cache, all at once and without
// waiting; a hint.
void start_reading(const SegmentSet& segments, std::span<const PageExtent> extents);
// Checks bytes that were read otherwise.
Status check_extent_bytes(const SegmentSet& segments, const PageExtent& extent, Bytes pages);
// Which of these pages are those of the extent, by its checksums.
Result<std::vector<bool>> same_pages(const SegmentSet& segments, const PageExtent& extent,
                                     Bytes pages);

}  // namespace perdure::store
