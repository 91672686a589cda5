// cachestat(2), Linux 6.5: what of a file is in the page cache. Debian 12's headers lack it.
#pragma once

#include <cstdint>

namespace perdure::kernel::abi {

inline constexpr long kSysCachestat = 451;
inline constexpr uint64_t kCachestatPageBytes = 4096;

struct CachestatRange {
  uint64_t off;
  uint64_t len;
};
static_assert(sizeof(CachestatRange) == 16);

struct Cachestat {
  uint64_t nr_cache;
  uint64_t nr_dirty;
  uint64_t nr_writeback;
  uint64_t nr_evicted;
  uint64_t nr_recently_evicted;
};
static_assert(sizeof(Cachestat) == 40);

}  // namespace perdure::kernel::abi
