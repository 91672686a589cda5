// /proc/PID/limits: resource limits of any process, readable without the privileges that prlimit(2)
// asks for.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perdure::kernel::proc {

inline constexpr uint64_t kLimitInfinity = ~uint64_t{0};

struct Limit {
  uint32_t resource = 0;  // RLIMIT_*
  uint64_t soft = 0;      // kLimitInfinity: none
  uint64_t hard = 0;
};

// All 16 limits, in the order of their numbers.
Result<std::vector<Limit>> parse_limits(std::string_view text);
Result<std::vector<Limit>> read_limits(pid_t pid);

// "open files", for messages.
const char* limit_name(uint32_t resource);

}  // namespace perdure::kernel::proc
