#include "memory/pending_book.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>

namespace perdure::memory {
namespace {

struct Book {
  explicit Book(const PageSet& pages)
      : words(std::make_unique<PendingBook::Word[]>(PendingBook::words_for(pages))),
        writing(pages, words.get()),
        reading(pages, words.get()) {}

  std::unique_ptr<PendingBook::Word[]> words;
  PendingBook writing, reading;
};

PageSet set_of(const std::set<uint64_t>& pages) {
  PageSet set;
  for (uint64_t page : pages) set.add({page, 1});
  return set;
}

TEST(PendingBook, NothingIsMissingAtFirst) {
  PageSet pages;
  pages.add({5, 100});
  Book book(pages);
  EXPECT_TRUE(book.reading.pending().empty());
  EXPECT_EQ(book.reading.saved(), pages);
}

TEST(PendingBook, WhatIsFilledIsMissingUntilItIsCleared) {
  PageSet pages;
  pages.add({10, 64});
  pages.add({100, 1});
  pages.add({1000, 200});
  Book book(pages);
  book.writing.fill();
  EXPECT_EQ(book.reading.pending(), pages);
  book.writing.clear(0, 2000);
  EXPECT_TRUE(book.reading.pending().empty());
}

TEST(PendingBook, AClearedRangeMayReachBeyondWhatWasSaved) {
  PageSet pages, left;
  pages.add({10, 10});
  pages.add({30, 10});
  Book book(pages);
  book.writing.fill();
  book.writing.clear(15, 20);
  left.add({10, 5});
  left.add({35, 5});
  EXPECT_EQ(book.reading.pending(), left);
}

TEST(PendingBook, IsAsASetOfPages) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    std::set<uint64_t> truth;
    for (uint64_t page = 0; page < 1000; ++page) {
      if (random() % (2 + seed % 5) != 0) truth.insert(page + (page / 300) * 5000);
    }
    Book book(set_of(truth));
    book.writing.fill();
    for (int step = 0; step < 60; ++step) {
      const uint64_t first = random() % 16'000, count = 1 + random() % 150;
      book.writing.clear(first, count);
      truth.erase(truth.lower_bound(first), truth.lower_bound(first + count));
      ASSERT_EQ(book.reading.pending(), set_of(truth)) << "seed " << seed << ", step " << step;
    }
  }
}

}  // namespace
}  // namespace perdure::memory
