#include "kernel/event_files.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace perdure::kernel {

Result<Fd> make_eventfd(uint64_t count, EventCounting counting) {
  const int flags = EFD_CLOEXEC | (counting == EventCounting::kSemaphore ? EFD_SEMAPHORE : 0);
  Fd fd = Fd::adopt(::eventfd(0, flags));
  if (!fd.valid()) return Error::system(errno, "make an eventfd");
  if (count == 0) return fd;
  // The initial value of eventfd(2) has 32 bits, the counter 64. A fresh one takes any count below
  // 2^64 - 1 at once.
  if (::write(fd.get(), &count, sizeof(count)) != sizeof(count)) {
    return Error::system(errno, "set the count of an eventfd");
  }
  return fd;
}

void raise_event(const Fd& eventfd) {
  const uint64_t one = 1;
  while (::write(eventfd.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

void lower_event(const Fd& eventfd) {
  pollfd look{eventfd.get(), POLLIN, 0};
  if (::poll(&look, 1, 0) != 1) return;
  uint64_t count = 0;
  while (::read(eventfd.get(), &count, sizeof(count)) < 0 && errno == EINTR) {
  }
}

Result<Fd> make_signalfd(uint64_t mask) {
  // The C library's sigset_t is larger than the kernel's.
  const long fd = ::syscall(SYS_signalfd4, -1, &mask, sizeof(mask), SFD_CLOEXEC);
  if (fd < 0) return Error::system(errno, "make a signalfd");
  return Fd::adopt(static_cast<int>(fd));
}

Result<Fd> make_epoll() {
  Fd fd = Fd::adopt(::epoll_create1(EPOLL_CLOEXEC));
  if (!fd.valid()) return Error::system(errno, "make an epoll instance");
  return fd;
}

Status epoll_add(int epoll, int fd, const EpollWatchSetting& setting) {
  epoll_event event = {};
  event.events = setting.events;
  event.data.u64 = setting.data;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    return Error::system(errno, "watch", "descriptor " + std::to_string(fd));
  }
  return {};
}

Status epoll_drain(int epoll) {
  epoll_event events[64];
  int ready;
  do {
    ready = ::epoll_wait(epoll, events, 64, 0);
  } while (ready > 0 || (ready < 0 && errno == EINTR));
  if (ready < 0) return Error::system(errno, "drain an epoll instance");
  return {};
}

}  // namespace perdure::kernel
