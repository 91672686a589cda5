#include "cli/branch_graph.h"

#include <algorithm>

#include "base/assert.h"

namespace perdure::cli {
namespace {

std::string trimmed(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

// A new tip gets a lane at the right.
size_t BranchGraph::take_lane(uint64_t epoch) {
  for (size_t at = 0; at < lanes_.size(); ++at) {
    if (lanes_[at].next == epoch) return at;
  }
  lanes_.push_back({epoch, false});
  return lanes_.size() - 1;
}

std::string BranchGraph::node_line(size_t place) const {
  std::string line(lanes_.size() * 2, ' ');
  for (size_t at = 0; at < lanes_.size(); ++at)
    line[at * 2] = at == place ? '*' : lanes_[at].gap ? ':' : '|';
  return trimmed(std::move(line));
}

// The lane `first` - 1 has ended: those from `first` on move left.
std::string BranchGraph::shift_line(size_t first) const {
  std::string line(lanes_.size() * 2, ' ');
  for (size_t at = 0; at + 1 < first; ++at) line[at * 2] = lanes_[at].gap ? ':' : '|';
  for (size_t at = first; at < lanes_.size(); ++at) line[at * 2 - 1] = '/';
  return trimmed(std::move(line));
}

// The lane `from` goes over into `into`, left of it, across those between.
std::string BranchGraph::join_line(size_t into, size_t from) const {
  std::string line = shift_line(from + 1);
  line.resize(std::max(line.size(), from * 2), ' ');
  for (size_t at = into; at + 1 < from; ++at) line[at * 2 + 1] = '_';
  line[from * 2 - 1] = '/';
  return line;
}

std::vector<std::string> BranchGraph::add(const EpochRow& row) {
  const size_t place = take_lane(row.info->epoch.value);
  std::vector<std::string> lines = {node_line(place)};
  PD_ASSERT(row.parent < row.info->epoch.value);
  auto erase = [this](size_t at) { lanes_.erase(lanes_.begin() + static_cast<ptrdiff_t>(at)); };
  if (row.parent == 0) {
    if (place + 1 < lanes_.size()) lines.push_back(shift_line(place + 1));
    erase(place);
    return lines;
  }
  size_t other = place;
  for (size_t at = 0; at < lanes_.size(); ++at) {
    if (at != place && lanes_[at].next == row.parent) other = at;
  }
  lanes_[place] = {row.parent, row.gap};
  if (other == place) return lines;
  auto [into, from] = std::minmax(place, other);
  lines.push_back(join_line(into, from));
  erase(from);
  return lines;
}

}  // namespace perdure::cli
