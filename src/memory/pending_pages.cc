#include "memory/pending_pages.h"

#include <algorithm>

#include "base/assert.h"

namespace perdure::memory {

PendingPages::PendingPages(const PageSet& pages) {
  for (const PageRun& run : pages.runs()) insert({run.first, run.first, run.count});
}

void PendingPages::insert(const Piece& piece) {
  PD_ASSERT(piece.count > 0);
  PD_ASSERT(by_page_.emplace(piece.page, Rest{piece.origin, piece.count}).second);
  PD_ASSERT(page_of_.emplace(piece.origin, piece.page).second);
  pages_ += piece.count;
}

void PendingPages::erase(ByPage::iterator at) {
  pages_ -= at->second.count;
  PD_ASSERT(page_of_.erase(at->second.origin) == 1);
  by_page_.erase(at);
}

std::optional<PendingPages::Piece> PendingPages::find(uint64_t page) const {
  auto after = by_page_.upper_bound(page);
  if (after == by_page_.begin()) return std::nullopt;
  const auto& [first, rest] = *std::prev(after);
  if (page >= first + rest.count) return std::nullopt;
  return Piece{first, rest.origin, rest.count};
}

std::optional<uint64_t> PendingPages::next(uint64_t page) const {
  if (find(page)) return page;
  auto after = by_page_.lower_bound(page);
  return after == by_page_.end() ? std::nullopt : std::optional(after->first);
}

std::vector<PendingPages::Piece> PendingPages::of_origin(uint64_t origin, uint64_t count) const {
  std::vector<Piece> pieces;
  auto at = page_of_.upper_bound(origin);
  if (at != page_of_.begin()) --at;
  for (; at != page_of_.end() && at->first < origin + count; ++at) {
    const uint64_t length = by_page_.at(at->second).count;
    const uint64_t from = std::max(origin, at->first);
    const uint64_t end = std::min(origin + count, at->first + length);
    if (from < end) pieces.push_back({at->second + (from - at->first), from, end - from});
  }
  return pieces;
}

void PendingPages::split(uint64_t page) {
  const std::optional<Piece> piece = find(page);
  if (!piece || piece->page == page) return;
  const uint64_t head = page - piece->page;
  erase(by_page_.find(piece->page));
  insert({piece->page, piece->origin, head});
  insert({page, piece->origin + head, piece->count - head});
}

void PendingPages::remove(uint64_t page, uint64_t count) {
  if (count == 0) return;
  split(page);
  split(page + count);
  for (auto at = by_page_.lower_bound(page); at != by_page_.end() && at->first < page + count;) {
    erase(at++);
  }
}

void PendingPages::move(uint64_t from, uint64_t to, uint64_t count) {
  split(from);
  split(from + count);
  std::vector<Piece> moved;
  for (auto at = by_page_.lower_bound(from); at != by_page_.end() && at->first < from + count;) {
    moved.push_back({at->first - from + to, at->second.origin, at->second.count});
    erase(at++);
  }
  remove(to, count);
  for (const Piece& piece : moved) insert(piece);
}

}  // namespace perdure::memory
