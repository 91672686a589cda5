#include "memory/page_ledger.h"

#include <gtest/gtest.h>

namespace perdure::memory {
namespace {

PageSet pages(std::initializer_list<uint64_t> list) {
  PageSet set;
  for (uint64_t page : list) set.add({page, 1});
  return set;
}

TEST(PageLedger, FirstCutYieldsEverythingPopulated) {
  PageLedger ledger;
  Scan scan = ledger.settle(pages({1, 5}));
  EXPECT_EQ(scan.data, pages({1, 5}));
  EXPECT_TRUE(scan.absent.empty());
}

TEST(PageLedger, LaterCutsYieldWrittenAndNewPagesAndWhatIsGone) {
  PageLedger ledger;
  ledger.settle(pages({1, 5, 7}));
  ledger.note_written(pages({5, 99}));
  Scan scan = ledger.settle(pages({1, 5, 8}));
  EXPECT_EQ(scan.data, pages({5, 8}));
  EXPECT_EQ(scan.absent, pages({7}));
  EXPECT_TRUE(ledger.settle(pages({1, 5, 8})).data.empty());
}

TEST(PageLedger, PrecopyYieldsEarlyAndTheCutOnlyTheRest) {
  PageLedger ledger;
  ledger.settle(pages({1, 2, 3}));
  ledger.note_written(pages({1}));
  ledger.note_written(pages({4}));
  Scan early = ledger.settle_written(pages({1, 2, 3, 4}));
  EXPECT_EQ(early.data, pages({1, 4}));
  EXPECT_TRUE(early.absent.empty());
  ledger.note_written(pages({4}));
  Scan cut = ledger.settle(pages({2, 4}));
  EXPECT_EQ(cut.data, pages({4}));
  EXPECT_EQ(cut.absent, pages({1, 3}));
}

TEST(PageLedger, WrittenPagesSurviveUntilTheyAreYielded) {
  PageLedger ledger;
  ledger.settle(pages({1, 2}));
  ledger.note_written(pages({1}));
  EXPECT_TRUE(ledger.settle_written(pages({2})).data.empty());  // its area was not looked at
  EXPECT_EQ(ledger.settle(pages({1, 2})).data, pages({1}));
}

TEST(PageLedger, WhatIsGivenBackComesAgainAsDataOrAsAbsent) {
  PageLedger ledger;
  ledger.settle(pages({1, 2}));
  ledger.give_back(pages({1, 2}));
  Scan scan = ledger.settle(pages({2}));
  EXPECT_EQ(scan.data, pages({2}));
  EXPECT_EQ(scan.absent, pages({1}));
}

TEST(PageLedger, ALookAtSomePagesLeavesTheOthersAsTheyWere) {
  PageLedger ledger;
  ledger.settle(pages({1, 5, 7, 20}));
  ledger.note_written(pages({5, 20}));
  Scan scan = ledger.settle_within(pages({4, 5, 6, 7, 8}), pages({5, 8}));
  EXPECT_EQ(scan.data, pages({5, 8}));
  EXPECT_EQ(scan.absent, pages({7}));
  EXPECT_EQ(ledger.known(), pages({1, 5, 8, 20}));
  EXPECT_EQ(ledger.written(), pages({20}));
  Scan all = ledger.settle(pages({1, 5, 8, 20}));
  EXPECT_EQ(all.data, pages({20}));
  EXPECT_TRUE(all.absent.empty());
}

}  // namespace
}  // namespace perdure::memory
