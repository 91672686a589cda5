// eventfd(2), signalfd(2) and epoll(7).
#pragma once

#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace perdure::kernel {

enum class EventCounting : uint8_t { kWhole, kSemaphore };

Result<Fd> make_eventfd(uint64_t count, EventCounting counting);
// Adds one to an eventfd, so that it is readable; and takes its count, so that it is not. Neither
// waits, and neither can fail on an eventfd that nobody else counts on.
void raise_event(const Fd& eventfd);
void lower_event(const Fd& eventfd);
// Bit N-1 is signal N.
Result<Fd> make_signalfd(uint64_t mask);

Result<Fd> make_epoll();
struct EpollWatchSetting {
  uint32_t events = 0;
  uint64_t data = 0;
};
Status epoll_add(int epoll, int fd, const EpollWatchSetting& setting);
// Takes what is ready until nothing is: one-shot watches that fired are spent then.
Status epoll_drain(int epoll);

}  // namespace perdure::kernel
