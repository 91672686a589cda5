// Which epochs of a long list are shown. At a hundred epochs a second nobody wants all of them, but
// what branches must stay visible whatever is left out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "store/epoch_writer.h"

namespace perdure::cli {

struct RowChoice {
  std::optional<uint64_t> newest;  // so many rows at most
  uint64_t since_ns = 0;           // captured then or later
  uint64_t thin_ns = 0;            // of each such interval of a branch only the last epoch; 0: all
};

struct EpochRow {
  const store::EpochInfo* info = nullptr;
  // The nearest ancestor that still exists and was not thinned out; 0: none. Of ancestors that were
  // dropped from the store, the epoch before them stands in.
  uint64_t parent = 0;
  bool gap = false;     // epochs lie between it and the parent
  uint64_t hidden = 0;  // of these, so many that exist
};

// epochs: oldest first, and so are the rows; they refer to them.
std::vector<EpochRow> choose_rows(const std::vector<store::EpochInfo>& epochs,
                                  const RowChoice& choice);

// The shortest usual interval that leaves no more than `rows_max` rows, apart from branches.
uint64_t thinning_for(const std::vector<store::EpochInfo>& epochs, uint64_t since_ns,
                      size_t rows_max);

}  // namespace perdure::cli
