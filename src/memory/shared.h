// SharedTracker: which pages of one shared memory object (memfd, shared anonymous, POSIX or SysV
// shared memory, a deleted file) changed since the last epoch. Such memory is written through any
// mapping of any process and by write(2), so that write protection of a mapping proves nothing:
// each page's XXH3 is compared with the one of the last scan (8 bytes of state per page). Bytes are
// hashed and handed on from one buffer, so a page that changes meanwhile is seen by the next scan.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "memory/copy.h"
#include "memory/page_set.h"

namespace perdure::memory {

class SharedTracker {
 public:
  // Reads the object through fd (open for reading) with SEEK_DATA and calls sink(first_page, bytes)
  // for pages that changed since the last scan and are not all zero; page = offset / 4096; a last
  // partial page is filled up with zeros. Yields the pages that earlier scans handed to a sink and
  // that now are holes, zeros or beyond the end.
  Result<PageSet> scan(int fd, uint64_t size, const PageSink& sink);

  // What the last scans handed on did not reach the store: the next scan hands everything on again,
  // and yields every page that could be in the store and is absent.
  void forget();

 private:
  static constexpr uint64_t kAbsent = 0;
  static constexpr size_t kChunkBytes = 1u << 20;

  Status compare(uint64_t first, Bytes bytes, const PageSink& sink);
  PageSet settle(uint64_t pages);
  uint64_t hash_before(uint64_t page) const;

  std::vector<uint64_t> hashes_;  // of the last scan, by page; kAbsent: a hole or zeros
  std::vector<uint64_t> now_;     // of the scan that runs
  std::vector<uint8_t> buffer_;
  uint64_t known_pages_ = 0;  // the largest number of pages that the object ever had
  bool all_dirty_ = false;
};

}  // namespace perdure::memory
