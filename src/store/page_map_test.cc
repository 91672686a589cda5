#include "store/page_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace perdure::store {
namespace {

Location at(uint32_t block, uint16_t slot) { return {1, block, slot, 0}; }

// What a PageMap means, page by page.
using Naive = std::map<uint64_t, std::pair<uint32_t, uint16_t>>;

Naive naive_of(const PageMap& map) {
  Naive out;
  uint64_t last = 0;
  for (const PageExtent& extent : map.extents()) {
    EXPECT_GT(extent.count, 0u);
    EXPECT_GE(extent.first_page, last);
    last = extent.end();
    for (uint32_t page = 0; page < extent.count; ++page) {
      const Location location = extent.location.advanced(page);
      out[extent.first_page + page] = {location.block, location.slot};
    }
  }
  return out;
}

TEST(PageMap, AgreesWithOneEntryPerPage) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 50; ++round) {
    PageMap map;
    Naive naive;
    for (int step = 0; step < 200; ++step) {
      const uint64_t first = random() % 3000;
      const auto count = static_cast<uint32_t>(1 + random() % 200);
      if (random() % 3 == 0) {
        map.erase(first, count * 4);
        naive.erase(naive.lower_bound(first), naive.lower_bound(first + count * 4));
      } else {
        const auto block = static_cast<uint32_t>(4 + random() % 50 * 256);
        const auto slot = static_cast<uint16_t>(random() % (256 - count));
        map.assign({first, count, at(block, slot)});
        for (uint32_t page = 0; page < count; ++page) {
          naive[first + page] = {block, static_cast<uint16_t>(slot + page)};
        }
      }
    }
    ASSERT_EQ(naive_of(map), naive);
    EXPECT_EQ(map.page_count(), naive.size());
  }
}

TEST(PageMap, NeighboursInOneFrameBecomeOneExtent) {
  PageMap map;
  for (uint16_t page = 0; page < 200; ++page) map.assign({500u + page, 1, at(4, page)});
  ASSERT_EQ(map.extents().size(), 1u);  // across the border of a chunk
  EXPECT_EQ(map.extents().front(), (PageExtent{500, 200, at(4, 0)}));
}

TEST(PageMap, CopiesShareChunksUntilOneIsChanged) {
  PageMap map;
  map.assign({0, 1, at(4, 0)});
  map.assign({kChunkPages, 1, at(4, 1)});
  PageMap copy = map;
  copy.assign({1, 1, at(4, 7)});
  EXPECT_NE(map.slots()[0].chunk, copy.slots()[0].chunk);
  EXPECT_EQ(map.slots()[1].chunk, copy.slots()[1].chunk);
  EXPECT_EQ(map.page_count(), 2u);
  EXPECT_EQ(copy.page_count(), 3u);
}

TEST(PageMap, ErasingAHugeRangeCostsOnlyWhatIsThere) {
  PageMap map;
  map.assign({kPagesEnd - 1, 1, at(4, 0)});
  map.erase(0, kPagesEnd);
  EXPECT_TRUE(map.empty());
}

TEST(PageMap, ARangeIsClipped) {
  PageMap map;
  map.assign({10, 10, at(4, 0)});
  const auto extents = map.extents(12, 15);
  ASSERT_EQ(extents.size(), 1u);
  EXPECT_EQ(extents.front(), (PageExtent{12, 3, at(4, 2)}));
}

TEST(PageSet, RangesThatTouchAreJoined) {
  PageSet set;
  set.add(10, 5);
  set.add(20, 5);
  set.add(15, 5);
  set.add(0, 0);
  EXPECT_EQ(set.ranges(), (std::map<uint64_t, uint64_t>{{10, 25}}));
  set.add(0, 100);
  EXPECT_EQ(set.ranges(), (std::map<uint64_t, uint64_t>{{0, 100}}));
}

}  // namespace
}  // namespace perdure::store
