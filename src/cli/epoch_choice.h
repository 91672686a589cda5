// Which epoch a user means: a number, the newest, or one by the time at which it was captured.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "cli/moment.h"
#include "store/epoch_writer.h"

namespace perdure::cli {

struct EpochChoice {
  Epoch number;                     // 0: the newest
  std::optional<Moment> at;         // the newest epoch captured at or before it
  std::optional<uint64_t> back_ns;  // the newest captured at least so long before the newest of all

  bool by_time() const { return at || back_ns; }
};

// The group's epoch that is meant, of all that it has (oldest first). Code::kNotFound says which
// there are.
Result<Epoch> choose_epoch(const std::vector<store::EpochInfo>& epochs, const EpochChoice& choice,
                           uint64_t now_ns, const std::string& group);

}  // namespace perdure::cli
