// poll(2) until a moment, to the nanosecond.
#pragma once

#include <poll.h>

#include <cstdint>
#include <optional>
#include <span>

namespace perdure::kernel {

// As ppoll(2), with errno; a moment of CLOCK_MONOTONIC, nothing: without end.
int poll_until(std::span<pollfd> entries, std::optional<uint64_t> moment_ns);

}  // namespace perdure::kernel
