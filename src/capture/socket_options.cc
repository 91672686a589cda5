#include "capture/socket_options.h"

#include <sys/socket.h>

#include "kernel/socket.h"

namespace perdure::capture {
namespace {

// asm-generic/socket.h; absent from Debian 12's headers or from older C libraries.
constexpr int kSoPassPidfd = 76;
constexpr int kSoBufLock = 72;

constexpr OptionName kCommon[] = {
    {SOL_SOCKET, SO_SNDBUF},    {SOL_SOCKET, SO_RCVBUF},      {SOL_SOCKET, kSoBufLock},
    {SOL_SOCKET, SO_RCVLOWAT},  {SOL_SOCKET, SO_RCVTIMEO},    {SOL_SOCKET, SO_SNDTIMEO},
    {SOL_SOCKET, SO_LINGER},    {SOL_SOCKET, SO_KEEPALIVE},   {SOL_SOCKET, SO_OOBINLINE},
    {SOL_SOCKET, SO_BROADCAST}, {SOL_SOCKET, SO_PRIORITY},    {SOL_SOCKET, SO_MARK},
    {SOL_SOCKET, SO_PASSCRED},  {SOL_SOCKET, SO_PASSSEC},     {SOL_SOCKET, kSoPassPidfd},
    {SOL_SOCKET, SO_TIMESTAMP}, {SOL_SOCKET, SO_TIMESTAMPNS}, {SOL_SOCKET, SO_DONTROUTE},
    {SOL_SOCKET, SO_RXQ_OVFL},  {SOL_SOCKET, SO_PEEK_OFF},
};

// struct linger and struct timeval are the largest, TCP_CONGESTION and SO_BINDTODEVICE take 16
// bytes.
constexpr size_t kOptionBytesMax = 64;

// Buffers are widened while queues are filled, and addresses reused while they are bound; so these
// always have a value to be put back.
bool is_set_meanwhile(const OptionName& option) {
  return option.level == SOL_SOCKET && (option.name == SO_SNDBUF || option.name == SO_RCVBUF ||
                                        option.name == kSoBufLock || option.name == SO_REUSEADDR);
}

}  // namespace

DefaultOptions default_options(int domain, int type, std::span<const OptionName> names) {
  DefaultOptions defaults;
  const Result<Fd> fresh = kernel::make_socket(domain, type, 0);
  if (!fresh.ok()) return defaults;
  for (const OptionName& option : names) {
    Result<std::string> value =
        kernel::socket_option(fresh->get(), option.level, option.name, kOptionBytesMax);
    if (value.ok()) defaults[option] = std::move(value).value();
  }
  return defaults;
}

Status capture_socket_options(int fd, std::span<const OptionName> names,
                              const DefaultOptions& defaults,
                              google::protobuf::RepeatedPtrField<object::SocketOption>* options) {
  for (const OptionName& option : names) {
    Result<std::string> value =
        kernel::socket_option(fd, option.level, option.name, kOptionBytesMax);
    if (!value.ok() && value.error().code() == Code::kUnavailable) continue;
    if (!value.ok()) return std::move(value).error();
    const auto fresh = is_set_meanwhile(option) ? defaults.end() : defaults.find(option);
    if (fresh != defaults.end() && fresh->second == *value) continue;
    object::SocketOption* record = options->Add();
    record->set_level(option.level);
    record->set_name(option.name);
    record->set_value(std::move(value).value());
  }
  return {};
}

std::span<const OptionName> common_options() { return kCommon; }

}  // namespace perdure::capture
