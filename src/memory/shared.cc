#include "memory/shared.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/checksum.h"
#include "base/limits.h"
#include "kernel/memory.h"

namespace perdure::memory {
namespace {

constexpr uint64_t kNeverAHash = 0;

uint64_t hash_of(Bytes page) {
  if (all_zero(page)) return kNeverAHash;
  uint64_t hash = checksum(page);
  return hash == kNeverAHash ? 1 : hash;
}

}  // namespace

// Hands on the pages of one chunk that changed, in runs.
Status SharedTracker::compare(uint64_t first, Bytes bytes, const PageSink& sink) {
  uint64_t count = bytes.size() >> kPageShift;
  uint64_t run_start = 0, run_length = 0;
  auto flush = [&]() -> Status {
    if (run_length == 0) return {};
    uint64_t length = std::exchange(run_length, 0);
    return sink(first + run_start, bytes.subspan(run_start << kPageShift, length << kPageShift));
  };
  for (uint64_t page = 0; page < count; ++page) {
    uint64_t hash = hash_of(bytes.subspan(page << kPageShift, kPageSize));
    uint64_t before = std::exchange(now_[first + page], hash);
    PD_ASSERT(before == kAbsent);
    bool changed = hash != kAbsent && (all_dirty_ || hash != hash_before(first + page));
    if (!changed) {
      PD_TRY(flush());
      continue;
    }
    if (run_length == 0) run_start = page;
    ++run_length;
  }
  return flush();
}

uint64_t SharedTracker::hash_before(uint64_t page) const {
  return page < hashes_.size() ? hashes_[page] : kAbsent;
}

Result<PageSet> SharedTracker::scan(int fd, uint64_t size, const PageSink& sink) {
  uint64_t pages = (size + kPageSize - 1) >> kPageShift;
  now_.assign(pages, kAbsent);
  if (buffer_.empty()) buffer_.resize(kChunkBytes);
  for (uint64_t at = 0; at < size;) {
    kernel::Extent extent = PD_TRY(kernel::next_data(fd, at, size));
    uint64_t start = extent.start & ~(kPageSize - 1);
    uint64_t end = std::min(size, (extent.end + kPageSize - 1) & ~(kPageSize - 1));
    for (uint64_t from = start; from < end;) {
      uint64_t wanted = std::min<uint64_t>(end - from, kChunkBytes);
      uint64_t padded = (wanted + kPageSize - 1) & ~(kPageSize - 1);
      size_t got = PD_TRY(kernel::read_at(fd, from, MutableBytes(buffer_.data(), wanted)));
      std::fill(buffer_.begin() + static_cast<ptrdiff_t>(got),
                buffer_.begin() + static_cast<ptrdiff_t>(padded), 0);
      PD_TRY(compare(from >> kPageShift, Bytes(buffer_.data(), padded), sink));
      from += wanted;
    }
    at = std::max(end, extent.end);
    PD_ASSERT(at > start || at == size);
  }
  return settle(pages);
}

// Takes the hashes of this scan as those to compare the next with; the pages that are no longer
// there.
PageSet SharedTracker::settle(uint64_t pages) {
  PageSet absent;
  known_pages_ = std::max(known_pages_, pages);
  for (uint64_t page = 0; page < known_pages_; ++page) {
    bool stored = all_dirty_ || hash_before(page) != kAbsent;
    bool gone = page >= pages || now_[page] == kAbsent;
    if (stored && gone) absent.add(PageRun{page, 1});
  }
  std::swap(hashes_, now_);
  all_dirty_ = false;
  return absent;
}

void SharedTracker::forget() { all_dirty_ = true; }

}  // namespace perdure::memory
