#include "capture/interrupted_call.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include <cerrno>

#include "kernel/file.h"
#include "kernel/pidfd.h"

namespace perdure::capture {
namespace {

constexpr long kEpollPwait2 = 441;  // Linux 5.11
constexpr uint64_t kNsPerMs = 1'000'000;

enum class LimitIn : uint8_t {
  kNone,           // EINTR only by a stop or a signal; no limit
  kMilliseconds4,  // fourth argument, -1: none
  kTimespec3,      // at the address in the third argument, 0: none
  kTimespec4,
  kTimespec5,
  kReceiveOption,  // SO_RCVTIMEO of the socket in the first argument
  kSendOption,     // SO_SNDTIMEO
};

std::optional<LimitIn> kind_of(long number) {
  switch (number) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return LimitIn::kMilliseconds4;
    case kEpollPwait2:
    case SYS_semtimedop:
      return LimitIn::kTimespec4;
    case SYS_rt_sigtimedwait:
      return LimitIn::kTimespec3;
    case SYS_io_getevents:
      return LimitIn::kTimespec5;
    case SYS_semop:
    case SYS_msgrcv:
    case SYS_msgsnd:
      return LimitIn::kNone;
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_accept:
    case SYS_accept4:
      return LimitIn::kReceiveOption;
    case SYS_write:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_connect:
      return LimitIn::kSendOption;
    default:
      return std::nullopt;
  }
}

Result<CallLimit> limit_at(pid_t pid, uint64_t address) {
  if (address == 0) return CallLimit{};
  timespec value{};
  PD_TRY(kernel::read_memory(pid, RemoteAddr(address),
                             MutableBytes(reinterpret_cast<uint8_t*>(&value), sizeof(value))));
  return CallLimit{true, static_cast<uint64_t>(value.tv_sec) * 1'000'000'000 +
                             static_cast<uint64_t>(value.tv_nsec)};
}

// A socket without a limit restarts by itself, so that its EINTR means something else; so does that
// of anything but a socket.
Result<std::optional<CallLimit>> limit_of_socket(pid_t pid, int fd, int option) {
  const Fd pidfd = PD_TRY(kernel::pidfd_open(pid));
  Result<Fd> socket = kernel::pidfd_getfd(pidfd.get(), fd);
  if (!socket.ok()) return std::optional<CallLimit>();
  timeval value{};
  socklen_t size = sizeof(value);
  if (getsockopt(socket->get(), SOL_SOCKET, option, &value, &size) != 0)
    return std::optional<CallLimit>();
  const uint64_t ns = static_cast<uint64_t>(value.tv_sec) * 1'000'000'000 +
                      static_cast<uint64_t>(value.tv_usec) * 1000;
  if (ns == 0) return std::optional<CallLimit>();
  return std::optional(CallLimit{true, ns});
}

}  // namespace

bool may_be_interrupted(long number) { return kind_of(number).has_value(); }

Result<std::optional<CallLimit>> limit_of_interrupted_call(pid_t pid,
                                                           const kernel::Registers& registers) {
  const std::optional<LimitIn> kind = kind_of(static_cast<long>(registers.orig_rax));
  if (!kind) return std::optional<CallLimit>();
  switch (*kind) {
    case LimitIn::kNone:
      return std::optional(CallLimit{});
    case LimitIn::kMilliseconds4: {
      const int32_t ms = static_cast<int32_t>(registers.r10);
      return std::optional(ms < 0 ? CallLimit{}
                                  : CallLimit{true, static_cast<uint64_t>(ms) * kNsPerMs});
    }
    case LimitIn::kTimespec3:
      return std::optional(PD_TRY(limit_at(pid, registers.rdx)));
    case LimitIn::kTimespec4:
      return std::optional(PD_TRY(limit_at(pid, registers.r10)));
    case LimitIn::kTimespec5:
      return std::optional(PD_TRY(limit_at(pid, registers.r8)));
    case LimitIn::kReceiveOption:
      return limit_of_socket(pid, static_cast<int>(registers.rdi), SO_RCVTIMEO);
    case LimitIn::kSendOption:
      return limit_of_socket(pid, static_cast<int>(registers.rdi), SO_SNDTIMEO);
  }
  return std::optional<CallLimit>();
}

int64_t result_at_limit(long number) {
  switch (number) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case kEpollPwait2:
    case SYS_io_getevents:
      return 0;
    case SYS_connect:
      return -EINPROGRESS;
    default:
      return -EAGAIN;
  }
}

}  // namespace perdure::capture
