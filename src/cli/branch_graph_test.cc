#include "cli/branch_graph.h"

#include <gtest/gtest.h>

namespace perdure::cli {
namespace {

struct Entry {
  uint64_t epoch = 0, parent = 0;
  bool gap = false;
};

// Entries are given as the graph takes them: newest first.
std::string draw(const std::vector<Entry>& entries) {
  BranchGraph graph;
  std::string text;
  for (const Entry& entry : entries) {
    store::EpochInfo info;
    info.epoch = Epoch(entry.epoch);
    std::vector<std::string> lines = graph.add({&info, entry.parent, entry.gap, 0});
    lines.front() += " " + std::to_string(entry.epoch);
    for (const std::string& line : lines) text += line + "\n";
  }
  return text;
}

TEST(BranchGraph, ALineIsOneLane) { EXPECT_EQ(draw({{3, 2}, {2, 1}, {1, 0}}), "* 3\n* 2\n* 1\n"); }

TEST(BranchGraph, ARewindLeavesABranch) {
  EXPECT_EQ(draw({{5, 2}, {4, 3}, {3, 2}, {2, 1}, {1, 0}}), R"(* 5
| * 4
| * 3
|/
* 2
* 1
)");
}

TEST(BranchGraph, ANewBranchMayLieRightOfAnOlderOne) {
  EXPECT_EQ(draw({{7, 4}, {6, 2}, {5, 4}, {4, 3}, {3, 2}, {2, 1}, {1, 0}}), R"(* 7
| * 6
| | * 5
|_|/
* | 4
* | 3
|/
* 2
* 1
)");
}

TEST(BranchGraph, LanesMoveLeftWhereOneHasJoined) {
  EXPECT_EQ(draw({{6, 3}, {5, 3}, {4, 1}, {3, 2}, {2, 1}, {1, 0}}), R"(* 6
| * 5
|/
| * 4
* | 3
* | 2
|/
* 1
)");
  EXPECT_EQ(draw({{9, 5}, {8, 6}, {7, 4}, {6, 5}, {5, 4}, {4, 0}}), R"(* 9
| * 8
| | * 7
| * | 6
|/ /
* | 5
|/
* 4
)");
}

TEST(BranchGraph, TwoBeginningsStayApart) {
  EXPECT_EQ(draw({{4, 2}, {3, 1}, {2, 0}, {1, 0}}), R"(* 4
| * 3
* | 2
 /
* 1
)");
}

TEST(BranchGraph, LeftOutEpochsShowAsDots) {
  EXPECT_EQ(draw({{90, 40, true}, {80, 70}, {70, 20, true}, {40, 20}, {20, 0}}), R"(* 90
: * 80
: * 70
* : 40
|/
* 20
)");
}

TEST(BranchGraph, WhatIsBeyondTheRowsRunsOffAtTheEnd) {
  EXPECT_EQ(draw({{9, 3}, {8, 7}, {7, 2}}), "* 9\n| * 8\n| * 7\n");
}

}  // namespace
}  // namespace perdure::cli
