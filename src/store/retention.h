// Which epochs a policy keeps: a pure function.
#pragma once

#include <span>
#include <vector>

#include "store/epoch_writer.h"

namespace perdure::store {

// Which epochs to keep: the newest `newest`, and of all epochs, for each rule, the last one in
// every interval of `every_ns` (all of them if 0) among those at most `for_ns` older than the
// newest. The newest epoch is always kept.
struct Retention {
  struct Rule {
    uint64_t every_ns = 0;
    uint64_t for_ns = 0;
  };
  uint64_t newest = 1;
  std::vector<Rule> rules;
};

struct EpochTime {
  Epoch epoch;
  uint64_t durable_ns = 0;
};
// The epochs to drop. epochs: ascending.
std::vector<Epoch> epochs_to_drop(std::span<const EpochTime> epochs, const Retention& policy);
std::vector<Epoch> epochs_to_drop(std::span<const EpochInfo> epochs, const Retention& policy);

}  // namespace perdure::store
