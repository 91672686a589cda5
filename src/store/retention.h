// Which epochs a policy keeps, and policies as text: pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/epoch_writer.h"

namespace perdure::store {

// Which epochs to keep: the newest `newest`, and of all epochs, for each rule, the last one in
// every interval of `every_ns` (all of them if 0) among those at most `for_ns` older than the
// newest. The newest epoch is always kept.
struct Retention {
  struct Rule {
    uint64_t every_ns = 0;
    uint64_t for_ns = 0;
    bool operator==(const Rule&) const = default;
  };
  uint64_t newest = 1;
  std::vector<Rule> rules;
  bool operator==(const Retention&) const = default;
};

// "all:1s,1/s:1m,1/m:1h,1/h:7d": a list of rules, each of which keeps what the others do not.
//   all:T     every epoch of the last T
//   N/UNIT:T  N epochs a unit for T; a unit is a length of time, the number 1 may be left out
//   N         the newest N epochs
// A length of time is a whole number and ns, us, ms, s, m, h or d. kInvalid says which rule is
// wrong and why.
Result<Retention> parse_retention(std::string_view text);
// The text that parses to this policy again.
std::string print_retention(const Retention& policy);

struct EpochTime {
  Epoch epoch;
  uint64_t durable_ns = 0;
};
// The epochs to drop. epochs: ascending.
std::vector<Epoch> epochs_to_drop(std::span<const EpochTime> epochs, const Retention& policy);
std::vector<Epoch> epochs_to_drop(std::span<const EpochInfo> epochs, const Retention& policy);

}  // namespace perdure::store
