// The tree of epochs as lines of text beside the rows, newest first, as `git log --graph` draws
// one:
//
//   * 5        what went on after a rewind to 2
//   | * 4
//   | * 3      an abandoned branch
//   |/
//   * 2
//   * 1
//
// A lane is drawn with ':' where epochs between are left out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/epoch_rows.h"

namespace perdure::cli {

class BranchGraph {
 public:
  // Rows come with descending numbers. One line for the row, with "*", and behind it those that
  // join or shift lanes, without.
  std::vector<std::string> add(const EpochRow& row);

 private:
  struct Lane {
    uint64_t next = 0;  // the epoch that it leads down to
    bool gap = false;
  };
  size_t take_lane(uint64_t epoch);
  std::string node_line(size_t place) const;
  std::string shift_line(size_t first) const;
  std::string join_line(size_t into, size_t from) const;

  std::vector<Lane> lanes_;
};

}  // namespace perdure::cli
