#include "memory/pending_pages.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace perdure::memory {
namespace {

using Piece = PendingPages::Piece;

PageSet set_of(const std::vector<PageRun>& runs) {
  PageSet set;
  for (const PageRun& run : runs) set.add(run);
  return set;
}

TEST(PendingPages, FindsWholePiecesAndWhatComesNext) {
  PendingPages pending(set_of({{10, 5}, {20, 1}}));
  EXPECT_EQ(pending.pages(), 6u);
  EXPECT_EQ(pending.find(12), (Piece{10, 10, 5}));
  EXPECT_EQ(pending.find(15), std::nullopt);
  EXPECT_EQ(pending.find(9), std::nullopt);
  EXPECT_EQ(pending.next(3), 10u);
  EXPECT_EQ(pending.next(13), 13u);
  EXPECT_EQ(pending.next(16), 20u);
  EXPECT_EQ(pending.next(21), std::nullopt);
}

TEST(PendingPages, RemovingTheMiddleLeavesBothEnds) {
  PendingPages pending(set_of({{10, 10}}));
  pending.remove(13, 4);
  EXPECT_EQ(pending.find(12), (Piece{10, 10, 3}));
  EXPECT_EQ(pending.find(17), (Piece{17, 17, 3}));
  EXPECT_EQ(pending.of_origin(0, 100), (std::vector<Piece>{{10, 10, 3}, {17, 17, 3}}));
  EXPECT_EQ(pending.of_origin(11, 7), (std::vector<Piece>{{11, 11, 2}, {17, 17, 1}}));
  pending.remove(0, 100);
  EXPECT_TRUE(pending.empty());
}

TEST(PendingPages, MovedPagesKeepTheirOrigin) {
  PendingPages pending(set_of({{10, 10}, {50, 4}}));
  pending.move(12, 48, 5);  // over the head of the other
  EXPECT_EQ(pending.find(50), (Piece{48, 12, 5}));
  EXPECT_EQ(pending.find(53), (Piece{53, 53, 1}));
  EXPECT_EQ(pending.find(12), std::nullopt);
  EXPECT_EQ(pending.of_origin(11, 3), (std::vector<Piece>{{11, 11, 1}, {48, 12, 2}}));
  EXPECT_EQ(pending.pages(), 11u);
}

// Against the plainest model there is: where each page is, and which it was.
TEST(PendingPages, AgreesWithAMapOfPages) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    auto below = [&](uint64_t n) { return random() % n; };
    PageSet start;
    for (uint64_t page = 0; page < 200; page += 1 + below(4)) start.add({page, 1});
    PendingPages pending(start);
    std::map<uint64_t, uint64_t> model;
    for (const PageRun& run : start.runs()) {
      for (uint64_t page = run.first; page < run.end(); ++page) model[page] = page;
    }
    for (int step = 0; step < 60; ++step) {
      const uint64_t from = below(200), count = 1 + below(30), to = below(200);
      if (below(2) == 0) {
        pending.remove(from, count);
        model.erase(model.lower_bound(from), model.lower_bound(from + count));
      } else {
        pending.move(from, to, count);
        std::map<uint64_t, uint64_t> moved;
        for (auto at = model.lower_bound(from); at != model.end() && at->first < from + count;) {
          moved[at->first - from + to] = at->second;
          at = model.erase(at);
        }
        model.erase(model.lower_bound(to), model.lower_bound(to + count));
        model.merge(moved);
      }
      ASSERT_EQ(pending.pages(), model.size()) << "seed " << seed << " step " << step;
      for (uint64_t page = 0; page < 240; ++page) {
        const auto piece = pending.find(page);
        const auto known = model.find(page);
        ASSERT_EQ(piece.has_value(), known != model.end()) << "seed " << seed << " page " << page;
        if (!piece) continue;
        ASSERT_EQ(piece->origin + (page - piece->page), known->second) << "seed " << seed;
        const auto back = pending.of_origin(known->second, 1);
        ASSERT_EQ(back, (std::vector<Piece>{{page, known->second, 1}})) << "seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace perdure::memory
