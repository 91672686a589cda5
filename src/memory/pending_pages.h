// PendingPages: which pages of an address space are still to come, where they lie now, and which
// saved page belongs there. A page moves with mremap(2); its origin, the page number that it was
// saved under, stays. No two pages have one place or one origin. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "memory/page_set.h"

namespace perdure::memory {

class PendingPages {
 public:
  // Pages that follow each other both in memory and in what was saved.
  struct Piece {
    uint64_t page = 0;
    uint64_t origin = 0;
    uint64_t count = 0;
    bool operator==(const Piece&) const = default;
  };

  PendingPages() = default;
  // Every page lies where it was saved.
  explicit PendingPages(const PageSet& pages);

  bool empty() const { return by_page_.empty(); }
  uint64_t pages() const { return pages_; }
  // The piece that holds a page, all of it.
  std::optional<Piece> find(uint64_t page) const;
  // The first page at or after `page` that is pending.
  std::optional<uint64_t> next(uint64_t page) const;
  // What is pending of the saved pages [origin, origin + count), by origin.
  std::vector<Piece> of_origin(uint64_t origin, uint64_t count) const;

  void remove(uint64_t page, uint64_t count);
  // What is pending in [from, from + count) is at [to, to + count) now; what was there is gone.
  void move(uint64_t from, uint64_t to, uint64_t count);

 private:
  struct Rest {
    uint64_t origin;
    uint64_t count;
  };
  using ByPage = std::map<uint64_t, Rest>;
  void insert(const Piece& piece);
  void erase(ByPage::iterator at);
  // Makes `page` the beginning of a piece if it is inside of one.
  void split(uint64_t page);

  ByPage by_page_;
  std::map<uint64_t, uint64_t> page_of_;  // origin of each piece -> its page
  uint64_t pages_ = 0;
};

}  // namespace perdure::memory
