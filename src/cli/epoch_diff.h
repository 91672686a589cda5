// What differs between two epochs: records by field, pages by content. Pages that are stored at the
// same place are equal without being read.
#pragma once

#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "cli/epoch_view.h"

namespace perdure::cli {

struct FieldChange {
  std::string path;
  std::string before;  // empty: was not set
  std::string after;
};

struct PageRange {
  uint64_t first = 0;  // page index
  uint64_t count = 0;
  std::string place;  // the vma's name; empty in memory objects
};

struct ObjectChange {
  enum class What : uint8_t { kAdded, kRemoved, kChanged };
  ObjectId id;
  What what = What::kChanged;
  std::string title;
  std::vector<FieldChange> fields;  // of a changed record
  std::vector<PageRange> pages;     // whose content differs; absent pages are zeros
  uint64_t page_count = 0;          // in `pages`
};

Result<std::vector<ObjectChange>> compare_epochs(const EpochView& before, const EpochView& after);

}  // namespace perdure::cli
