#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "kernel/holder.h"
#include "kernel/socket.h"
#include "restore/file_kinds.h"
#include "restore/socket_options.h"

namespace perdure::restore {
namespace {

template <typename Address>
std::string raw(const Address& address) {
  return std::string(reinterpret_cast<const char*>(&address), sizeof(address));
}

Result<std::string> address_of(const object::TcpListener& record) {
  const bool six = record.family() == AF_INET6;
  if (record.address().size() != (six ? 16u : 4u) || record.port() > 0xffff) {
    return Error(Code::kCorrupt, "a TCP socket has a malformed address");
  }
  if (six) {
    sockaddr_in6 address = {};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(static_cast<uint16_t>(record.port()));
    address.sin6_scope_id = record.scope();
    std::memcpy(&address.sin6_addr, record.address().data(), 16);
    return raw(address);
  }
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(record.port()));
  std::memcpy(&address.sin_addr, record.address().data(), 4);
  return raw(address);
}

std::string shown(const object::TcpListener& record) {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(record.family(), record.address().data(), text, sizeof(text));
  const bool six = record.family() == AF_INET6;
  return (six ? "[" + std::string(text) + "]" : std::string(text)) + ":" +
         std::to_string(record.port());
}

Error in_use(const object::TcpListener& record) {
  const std::string holder = kernel::find_tcp_port_holder(static_cast<uint16_t>(record.port()));
  return Error(Code::kExists, "TCP address " + shown(record) + " is in use by " +
                                  (holder.empty() ? "another program" : holder))
      .with_remedy("end that program, then restore again");
}

Status bind_listener(int fd, const object::TcpListener& record) {
  // Connections of the lost group may still be in TIME_WAIT, which a program that has just started
  // would not meet.
  PD_TRY(kernel::set_socket_option_int(fd, SOL_SOCKET, SO_REUSEADDR, 1));
  for (const auto& [level, name] : {std::pair(SOL_SOCKET, SO_REUSEPORT),
                                    {IPPROTO_IPV6, IPV6_V6ONLY},
                                    {SOL_SOCKET, SO_BINDTODEVICE},
                                    {IPPROTO_IP, IP_FREEBIND},
                                    {IPPROTO_IP, IP_TRANSPARENT}}) {
    PD_TRY(apply_socket_option(fd, record.options(), level, name));
  }
  if (!record.bound()) return {};
  Status bound = kernel::bind_socket(fd, PD_TRY(address_of(record)));
  if (!bound.ok() && bound.error().error_number() == EADDRINUSE) return in_use(record);
  if (!bound.ok() && bound.error().error_number() == EADDRNOTAVAIL) {
    return Error(Code::kNotFound, "no network interface here has the address of " + shown(record))
        .with_remedy("give this host the address, then restore again");
  }
  return bound;
}

}  // namespace

Result<Fd> open_tcp_listener(const object::OpenFile& record) {
  const object::TcpListener& listener = record.tcp_listener();
  Fd file = PD_TRY(kernel::make_socket(listener.family(), SOCK_STREAM, IPPROTO_TCP));
  PD_TRY(bind_listener(file.get(), listener));
  if (listener.listening()) {
    const Status listens = kernel::listen_socket(file.get(), static_cast<int>(listener.backlog()));
    if (!listens.ok() && listens.error().error_number() == EADDRINUSE) return in_use(listener);
    PD_TRY(listens);
  }
  PD_TRY(apply_socket_options(file.get(), listener.options()));
  return file;
}

}  // namespace perdure::restore
