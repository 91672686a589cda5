#include "memory/pending_book.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace perdure::memory {
namespace {

constexpr uint64_t kBits = 64;

// Bits [from, to) of a word.
uint64_t mask_of(uint64_t from, uint64_t to) {
  const uint64_t upper = to == kBits ? ~uint64_t{0} : (uint64_t{1} << to) - 1;
  return upper & ~((uint64_t{1} << from) - 1);
}

// Calls for each word that has some of the bits [first, end).
template <typename Visit>
void for_each_word(uint64_t first, uint64_t end, Visit visit) {
  for (uint64_t at = first; at < end;) {
    const uint64_t stop = std::min(end, (at / kBits + 1) * kBits);
    visit(at / kBits, mask_of(at % kBits, stop - at / kBits * kBits));
    at = stop;
  }
}

}  // namespace

PendingBook::PendingBook(PageSet pages, Word* words) : pages_(std::move(pages)), words_(words) {
  uint64_t before = 0;
  for (const PageRun& run : pages_.runs()) {
    before_.push_back(before);
    before += run.count;
  }
}

void PendingBook::fill() {
  for_each_word(0, pages_.pages(), [this](uint64_t word, uint64_t mask) {
    words_[word].fetch_or(mask, std::memory_order_release);
  });
}

void PendingBook::clear(uint64_t first_page, uint64_t count) {
  const std::vector<PageRun>& runs = pages_.runs();
  const uint64_t last = first_page + count;
  auto run = std::partition_point(runs.begin(), runs.end(), [first_page](const PageRun& each) {
    return each.end() <= first_page;
  });
  for (; run != runs.end() && run->first < last; ++run) {
    const uint64_t before = before_[static_cast<size_t>(run - runs.begin())];
    const uint64_t from = std::max(first_page, run->first), to = std::min(last, run->end());
    for_each_word(before + from - run->first, before + to - run->first,
                  [this](uint64_t word, uint64_t mask) {
                    words_[word].fetch_and(~mask, std::memory_order_release);
                  });
  }
}

PageSet PendingBook::pending() const {
  PageSet pending;
  uint64_t at = 0;  // the bit of the next page
  for (const PageRun& run : pages_.runs()) {
    for (uint64_t page = run.first; page < run.end();) {
      const uint64_t bits = words_[at / kBits].load(std::memory_order_acquire) >> (at % kBits);
      const bool set = (bits & 1) != 0;
      const auto same = static_cast<uint64_t>(set ? std::countr_one(bits) : std::countr_zero(bits));
      const uint64_t count = std::min({same, kBits - at % kBits, run.end() - page});
      if (set) pending.add({page, count});
      page += count;
      at += count;
    }
  }
  return pending;
}

}  // namespace perdure::memory
