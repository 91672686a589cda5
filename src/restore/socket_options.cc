#include "restore/socket_options.h"

#include <sys/socket.h>

#include <algorithm>

#include "base/bytes.h"
#include "kernel/socket.h"

namespace perdure::restore {
namespace {

constexpr int kSoBufLock = 72;  // asm-generic/socket.h, Linux 5.13
// A sender is charged for the kernel's own structures as well; small messages take several times
// their size.
constexpr size_t kOverheadFactor = 4;
constexpr size_t kOverheadBytes = 1u << 20;
constexpr size_t kSendBufferMax = 1u << 30;

int number_in(const object::SocketOption& option) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(option.value().data());
  return option.value().size() >= sizeof(int) ? load_le<int>(bytes) : 0;
}

// The kernel doubles what it is given (socket(7)). The forced ones pass the limits of sysctl, as
// the program may have.
Status set_buffer(int fd, int forced, int plain, int doubled) {
  if (kernel::set_socket_option_int(fd, SOL_SOCKET, forced, doubled / 2).ok()) return {};
  return kernel::set_socket_option_int(fd, SOL_SOCKET, plain, doubled / 2);
}

Status apply(int fd, const object::SocketOption& option) {
  const Result<std::string> now = kernel::socket_option(
      fd, option.level(), option.name(), std::max<size_t>(64, option.value().size()));
  if (now.ok() && *now == option.value()) return {};
  if (option.level() == SOL_SOCKET && option.name() == SO_SNDBUF) {
    return set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, number_in(option));
  }
  if (option.level() == SOL_SOCKET && option.name() == SO_RCVBUF) {
    return set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, number_in(option));
  }
  return kernel::set_socket_option(fd, option.level(), option.name(), option.value());
}

}  // namespace

Status apply_socket_options(int fd, const SocketOptions& options) {
  const object::SocketOption* lock = nullptr;
  for (const object::SocketOption& option : options) {
    // Setting a buffer locks its size, so the lock comes last.
    if (option.level() == SOL_SOCKET && option.name() == kSoBufLock) {
      lock = &option;
      continue;
    }
    PD_TRY(apply(fd, option));
  }
  return lock == nullptr ? Status() : apply(fd, *lock);
}

Status apply_socket_option(int fd, const SocketOptions& options, int level, int name) {
  for (const object::SocketOption& option : options) {
    if (option.level() == level && option.name() == name) return apply(fd, option);
  }
  return {};
}

Status widen_send_buffer(int fd, size_t bytes) {
  const size_t wanted = std::min(bytes * kOverheadFactor + kOverheadBytes, kSendBufferMax);
  return set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, static_cast<int>(wanted));
}

}  // namespace perdure::restore
