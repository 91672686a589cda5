// The PAGEMAP_SCAN ioctl of /proc/PID/pagemap (Linux 6.7) and the bits of a pagemap entry
// (Documentation/admin-guide/mm/pagemap.rst). Debian 12's headers lack the ioctl.
#pragma once

#include <linux/ioctl.h>

#include <cstdint>

namespace perdure::kernel::abi {

// Categories of a page. A hole has none.
inline constexpr uint64_t kPageIsWpAllowed = 1 << 0;  // its vma has asynchronous write protection
inline constexpr uint64_t kPageIsWritten = 1 << 1;    // not write protected, that is: written since
inline constexpr uint64_t kPageIsFile = 1 << 2;       // a page of the file, not a private copy
inline constexpr uint64_t kPageIsPresent = 1 << 3;
inline constexpr uint64_t kPageIsSwapped = 1 << 4;
inline constexpr uint64_t kPageIsPfnZero = 1 << 5;
inline constexpr uint64_t kPageIsHuge = 1 << 6;
inline constexpr uint64_t kPageIsSoftDirty = 1 << 7;
inline constexpr uint64_t kPageIsGuard = 1 << 8;  // Linux 6.15

struct PageRegion {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};
static_assert(sizeof(PageRegion) == 24);

inline constexpr uint64_t kScanWpMatching = 1 << 0;
inline constexpr uint64_t kScanCheckWpAsync = 1 << 1;

struct PmScanArg {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;  // out: where the walk stopped
  uint64_t vec;       // address of PageRegion[vec_len]
  uint64_t vec_len;
  uint64_t max_pages;
  // A page matches if all of category_mask and, unless it is 0, any of category_anyof_mask hold,
  // after the categories in category_inverted were inverted.
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};
static_assert(sizeof(PmScanArg) == 96);

inline constexpr unsigned long kPagemapScan = _IOWR('f', 16, PmScanArg);

// Bits of one 64-bit entry of /proc/PID/pagemap.
inline constexpr uint64_t kEntryFrameMask = (uint64_t{1} << 55) - 1;  // 0 without CAP_SYS_ADMIN
inline constexpr uint64_t kEntrySoftDirty = uint64_t{1} << 55;
inline constexpr uint64_t kEntryUffdWp = uint64_t{1} << 57;
inline constexpr uint64_t kEntryGuard = uint64_t{1} << 58;  // Linux 6.15
inline constexpr uint64_t kEntryFile = uint64_t{1} << 61;
inline constexpr uint64_t kEntrySwapped = uint64_t{1} << 62;
inline constexpr uint64_t kEntryPresent = uint64_t{1} << 63;

}  // namespace perdure::kernel::abi
