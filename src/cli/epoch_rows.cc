#include "cli/epoch_rows.h"

#include <algorithm>
#include <array>

namespace perdure::cli {
namespace {

using store::EpochInfo;

constexpr size_t kNowhere = ~size_t{0};

// What an epoch is to those that came after it.
struct Node {
  size_t parent = kNowhere;  // place in the list
  bool parent_dropped = false;
  size_t children = 0;
  size_t child = kNowhere;  // the last one met
  bool shown = false;
};

// The place of the epoch, or of the last one before it that still exists.
size_t place_up_to(const std::vector<EpochInfo>& epochs, Epoch epoch) {
  auto after = std::upper_bound(
      epochs.begin(), epochs.end(), epoch.value,
      [](uint64_t number, const EpochInfo& info) { return number < info.epoch.value; });
  return after == epochs.begin() ? kNowhere : static_cast<size_t>(after - epochs.begin()) - 1;
}

std::vector<Node> family(const std::vector<EpochInfo>& epochs) {
  std::vector<Node> nodes(epochs.size());
  for (size_t at = 0; at < epochs.size(); ++at) {
    Node& node = nodes[at];
    if (epochs[at].parent.value == 0) continue;
    node.parent = place_up_to(epochs, epochs[at].parent);
    if (node.parent == kNowhere) continue;
    node.parent_dropped = epochs[node.parent].epoch != epochs[at].parent;
    ++nodes[node.parent].children;
    nodes[node.parent].child = at;
  }
  return nodes;
}

bool same_interval(const EpochInfo& left, const EpochInfo& right, uint64_t interval_ns) {
  return left.captured_realtime_ns / interval_ns == right.captured_realtime_ns / interval_ns;
}

// Ends and beginnings of branches always are; others if they are the last of their interval.
bool is_shown(const std::vector<EpochInfo>& epochs, const std::vector<Node>& nodes, size_t at,
              const RowChoice& choice) {
  const Node& node = nodes[at];
  if (epochs[at].captured_realtime_ns < choice.since_ns) return false;
  if (choice.thin_ns == 0 || node.children != 1 || node.parent == kNowhere) return true;
  return !same_interval(epochs[at], epochs[node.child], choice.thin_ns);
}

// What is thinned out has one child, so that all rows together walk over it once.
EpochRow row_of(const std::vector<EpochInfo>& epochs, const std::vector<Node>& nodes, size_t at,
                uint64_t since_ns) {
  EpochRow row;
  row.info = &epochs[at];
  size_t from = at;
  for (;;) {
    row.gap = row.gap || nodes[from].parent_dropped;
    from = nodes[from].parent;
    if (from == kNowhere) break;
    row.parent = epochs[from].epoch.value;
    if (nodes[from].shown || epochs[from].captured_realtime_ns < since_ns) break;
    row.gap = true;
    ++row.hidden;
  }
  return row;
}

}  // namespace

std::vector<EpochRow> choose_rows(const std::vector<EpochInfo>& epochs, const RowChoice& choice) {
  std::vector<Node> nodes = family(epochs);
  for (size_t at = 0; at < epochs.size(); ++at)
    nodes[at].shown = is_shown(epochs, nodes, at, choice);
  std::vector<EpochRow> rows;
  for (size_t at = 0; at < epochs.size(); ++at) {
    if (nodes[at].shown) rows.push_back(row_of(epochs, nodes, at, choice.since_ns));
  }
  if (choice.newest && rows.size() > *choice.newest) {
    rows.erase(rows.begin(), rows.end() - static_cast<ptrdiff_t>(*choice.newest));
  }
  return rows;
}

uint64_t thinning_for(const std::vector<EpochInfo>& epochs, uint64_t since_ns, size_t rows_max) {
  constexpr uint64_t kMs = 1'000'000, kSecond = 1000 * kMs, kMinute = 60 * kSecond;
  constexpr std::array kUsual = {100 * kMs,    kSecond,      10 * kSecond,  kMinute,
                                 10 * kMinute, 60 * kMinute, 360 * kMinute, 1440 * kMinute};
  if (epochs.size() <= rows_max) return 0;
  for (uint64_t interval_ns : kUsual) {
    if (choose_rows(epochs, {{}, since_ns, interval_ns}).size() <= rows_max) return interval_ns;
  }
  return kUsual.back();
}

}  // namespace perdure::cli
