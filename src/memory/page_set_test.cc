#include "memory/page_set.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "base/limits.h"

namespace perdure::memory {
namespace {

using Model = std::set<uint64_t>;

PageSet set_of(const std::vector<PageRun>& runs) {
  PageSet set;
  for (PageRun run : runs) set.add(run);
  return set;
}

Model model_of(const PageSet& set) {
  Model model;
  for (PageRun run : set.runs()) {
    for (uint64_t page = run.first; page < run.end(); ++page) model.insert(page);
  }
  return model;
}

void expect_canonical(const PageSet& set) {
  for (size_t at = 1; at < set.runs().size(); ++at)
    EXPECT_GT(set.runs()[at].first, set.runs()[at - 1].end());
  for (PageRun run : set.runs()) EXPECT_GT(run.count, 0u);
}

TEST(PageSet, JoinsRunsThatTouchOrOverlap) {
  EXPECT_EQ(set_of({{1, 2}, {3, 4}}), set_of({{1, 6}}));
  EXPECT_EQ(set_of({{5, 2}, {1, 2}, {3, 2}}), set_of({{1, 6}}));
  EXPECT_EQ(set_of({{1, 10}, {2, 3}}), set_of({{1, 10}}));
  EXPECT_EQ(set_of({{1, 1}, {3, 1}, {5, 1}, {2, 9}}), set_of({{1, 10}}));
  EXPECT_EQ(set_of({{1, 1}, {3, 1}}).runs().size(), 2u);
}

TEST(PageSet, AddsByteRanges) {
  PageSet set;
  set.add_bytes(2 * kPageSize, 5 * kPageSize);
  set.add_bytes(9 * kPageSize, 9 * kPageSize);
  EXPECT_EQ(set, set_of({{2, 3}}));
  EXPECT_EQ(set.pages(), 3u);
}

TEST(PageSet, ContainsExactlyItsPages) {
  PageSet set = set_of({{4, 2}, {10, 1}});
  for (uint64_t page = 0; page < 15; ++page)
    EXPECT_EQ(set.contains(page), page == 4 || page == 5 || page == 10);
  EXPECT_FALSE(PageSet().contains(0));
}

TEST(PageSet, CutsSeveralHolesOutOfOneRunAndOneHoleOutOfSeveralRuns) {
  EXPECT_EQ(set_of({{0, 10}}).without(set_of({{2, 1}, {5, 2}})), set_of({{0, 2}, {3, 2}, {7, 3}}));
  EXPECT_EQ(set_of({{0, 2}, {4, 2}, {8, 2}}).without(set_of({{1, 8}})), set_of({{0, 1}, {9, 1}}));
}

TEST(PageSet, GapsAreFilledUpToALength) {
  const PageSet set = set_of({{1, 1}, {4, 1}, {8, 2}, {20, 1}});
  EXPECT_EQ(set.coalesced(2), set_of({{1, 4}, {8, 2}, {20, 1}}));
  EXPECT_EQ(set.coalesced(3), set_of({{1, 9}, {20, 1}}));
  EXPECT_EQ(set.coalesced(1), set);
  EXPECT_TRUE(PageSet().coalesced(9).empty());
}

// Every operation agrees with std::set on many random sets.
TEST(PageSet, AgreesWithAModel) {
  std::mt19937 random(7);
  for (int round = 0; round < 400; ++round) {
    PageSet a, b;
    Model model_a, model_b;
    for (int run = 0; run < 12; ++run) {
      PageSet& set = run % 2 ? a : b;
      Model& model = run % 2 ? model_a : model_b;
      PageRun added{random() % 60, 1 + random() % 7};
      set.add(added);
      for (uint64_t page = added.first; page < added.end(); ++page) model.insert(page);
    }
    ASSERT_EQ(model_of(a), model_a);
    Model united = model_a, common, left;
    united.insert(model_b.begin(), model_b.end());
    for (uint64_t page : model_a) (model_b.count(page) ? common : left).insert(page);
    ASSERT_EQ(model_of(a.united(b)), united);
    ASSERT_EQ(model_of(a.intersected(b)), common);
    ASSERT_EQ(model_of(a.without(b)), left);
    ASSERT_EQ(a.pages(), model_a.size());
    const PageRun asked{random() % 60, 1 + random() % 7};
    size_t found = 0;
    for (uint64_t page = asked.first; page < asked.end(); ++page) found += model_a.count(page);
    ASSERT_EQ(a.contains(asked), found == asked.count);
    ASSERT_EQ(a.meets(asked), found > 0);
    for (const PageSet& set : {a, b, a.united(b), a.intersected(b), a.without(b)})
      expect_canonical(set);
  }
}

}  // namespace
}  // namespace perdure::memory
