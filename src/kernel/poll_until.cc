#include "kernel/poll_until.h"

#include <time.h>

namespace perdure::kernel {

int poll_until(std::span<pollfd> entries, std::optional<uint64_t> moment_ns) {
  if (!moment_ns) return ::ppoll(entries.data(), entries.size(), nullptr, nullptr);
  constexpr uint64_t kSecondNs = 1'000'000'000;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const uint64_t now_ns =
      static_cast<uint64_t>(now.tv_sec) * kSecondNs + static_cast<uint64_t>(now.tv_nsec);
  const uint64_t left = *moment_ns > now_ns ? *moment_ns - now_ns : 0;
  const timespec wait{static_cast<time_t>(left / kSecondNs), static_cast<long>(left % kSecondNs)};
  return ::ppoll(entries.data(), entries.size(), &wait, nullptr);
}

}  // namespace perdure::kernel
