// What engines count, as text that Prometheus reads (exposition format 0.0.4). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "object/control.pb.h"

namespace perdure::daemon {

struct GroupMetrics {
  control::StatusReply status;
  std::optional<uint64_t> store_bytes;  // on disk, if whoever asks has looked
};

// Every metric once, with a sample for each group. Counters begin anew with each engine, which is
// what Prometheus expects of a process.
std::string metrics_text(std::span<const GroupMetrics> groups);

}  // namespace perdure::daemon
