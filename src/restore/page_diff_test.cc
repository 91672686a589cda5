#include "restore/page_diff.h"

#include <gtest/gtest.h>

namespace perdure::restore {
namespace {

using store::Location;
using store::PageExtent;

PageExtent extent(uint64_t first, uint32_t count, uint32_t block, uint16_t slot = 0) {
  return PageExtent{first, count, Location{1, block, slot, 0}};
}

TEST(PageDiff, NothingInheritedIsAllLoaded) {
  std::vector<PageExtent> wanted = {extent(10, 4, 100), extent(20, 1, 200)};
  PageDiff diff = diff_pages(wanted, {});
  EXPECT_EQ(diff.load, wanted);
  EXPECT_TRUE(diff.drop.empty());
}

TEST(PageDiff, PagesAtTheSameLocationAreKept) {
  std::vector<PageExtent> wanted = {extent(10, 4, 100)};
  std::vector<PageExtent> inherited = {extent(8, 3, 50), extent(12, 1, 100, 2), extent(13, 1, 70)};
  PageDiff diff = diff_pages(wanted, inherited);
  EXPECT_EQ(diff.kept, 1u);
  std::vector<PageExtent> load = {extent(10, 2, 100), extent(13, 1, 100, 3)};
  EXPECT_EQ(diff.load, load);
  ASSERT_EQ(diff.drop.runs().size(), 1u);
  EXPECT_EQ(diff.drop.runs()[0], (memory::PageRun{8, 2}));
}

TEST(PageDiff, AbsentPagesAreDropped) {
  std::vector<PageExtent> inherited = {extent(1, 2, 50)};
  PageDiff diff = diff_pages({}, inherited);
  EXPECT_TRUE(diff.load.empty());
  EXPECT_EQ(diff.drop.pages(), 2u);
}

}  // namespace
}  // namespace perdure::restore
