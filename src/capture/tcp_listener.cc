// TCP sockets that listen, or that have not been used yet. Connections in the accept queue end at
// restore as if their clients had gone; every other internet socket is refused by name.
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/bytes.h"
#include "capture/file_kinds.h"
#include "capture/socket_options.h"
#include "kernel/socket.h"

namespace perdure::capture {
namespace {

constexpr OptionName kInternetOptions[] = {
    {SOL_SOCKET, SO_REUSEADDR},
    {SOL_SOCKET, SO_REUSEPORT},
    {SOL_SOCKET, SO_BINDTODEVICE},
    {IPPROTO_IP, IP_TOS},
    {IPPROTO_IP, IP_TTL},
    {IPPROTO_IP, IP_FREEBIND},
    {IPPROTO_IP, IP_TRANSPARENT},
    {IPPROTO_IP, IP_MTU_DISCOVER},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
    {IPPROTO_TCP, TCP_NODELAY},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT},
    {IPPROTO_TCP, TCP_KEEPIDLE},
    {IPPROTO_TCP, TCP_KEEPINTVL},
    {IPPROTO_TCP, TCP_KEEPCNT},
    {IPPROTO_TCP, TCP_FASTOPEN},
    {IPPROTO_TCP, TCP_USER_TIMEOUT},
    {IPPROTO_TCP, TCP_SYNCNT},
    {IPPROTO_TCP, TCP_LINGER2},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP},
    {IPPROTO_TCP, TCP_CONGESTION},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
    {IPPROTO_TCP, TCP_SAVE_SYN},
};

constexpr OptionName kIpv6Options[] = {
    {IPPROTO_IPV6, IPV6_V6ONLY},
    {IPPROTO_IPV6, IPV6_TCLASS},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS},
};

struct Endpoint {
  std::string address;  // network byte order: 4 or 16 bytes
  uint16_t port = 0;
  uint32_t scope = 0;
};

Endpoint endpoint_of(const std::string& raw) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(raw.data());
  Endpoint endpoint;
  if (raw.size() >= sizeof(sockaddr_in6) && load_le<sa_family_t>(bytes) == AF_INET6) {
    const auto address = load_le<sockaddr_in6>(bytes);
    endpoint.address.assign(reinterpret_cast<const char*>(&address.sin6_addr), 16);
    endpoint.port = ntohs(address.sin6_port);
    endpoint.scope = address.sin6_scope_id;
  } else if (raw.size() >= sizeof(sockaddr_in) && load_le<sa_family_t>(bytes) == AF_INET) {
    const auto address = load_le<sockaddr_in>(bytes);
    endpoint.address.assign(reinterpret_cast<const char*>(&address.sin_addr), 4);
    endpoint.port = ntohs(address.sin_port);
  }
  return endpoint;
}

std::string shown(const std::string& raw) {
  const Endpoint endpoint = endpoint_of(raw);
  if (endpoint.address.empty()) return "an unknown address";
  const bool six = endpoint.address.size() == 16;
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(six ? AF_INET6 : AF_INET, endpoint.address.data(), text, sizeof(text));
  const std::string host = six ? "[" + std::string(text) + "]" : std::string(text);
  return host + ":" + std::to_string(endpoint.port);
}

const char* protocol_name(int domain, int type) {
  switch (domain) {
    case AF_INET:
    case AF_INET6:
      return type == SOCK_STREAM ? "TCP" : type == SOCK_DGRAM ? "UDP" : "raw internet";
    case AF_NETLINK:
      return "netlink";
    case AF_PACKET:
      return "packet";
    case AF_VSOCK:
      return "vsock";
    case AF_ALG:
      return "crypto";
    case AF_XDP:
      return "XDP";
    case AF_BLUETOOTH:
      return "Bluetooth";
    case AF_CAN:
      return "CAN";
    default:
      return nullptr;
  }
}

// "UDP socket 127.0.0.1:53", "TCP connection 1.2.3.4:5 to 6.7.8.9:10"
std::string describe(const OpenFileEntry& entry, int domain, int type) {
  const char* known = protocol_name(domain, type);
  const std::string protocol =
      known != nullptr ? known : "protocol family " + std::to_string(domain);
  if (domain != AF_INET && domain != AF_INET6) return protocol + " socket";
  const auto local = kernel::socket_address(entry.duplicate.get());
  const auto peer = kernel::peer_address(entry.duplicate.get());
  const std::string own = local.ok() ? shown(*local) : std::string();
  if (peer.ok() && *peer) return protocol + " connection " + own + " to " + shown(**peer);
  return protocol + " socket " + own;
}

Status refuse_socket(FileContext& context, OpenFileEntry& entry, int domain, int type) {
  const std::string what = describe(entry, domain, type);
  capture_outside(context, entry, entry.link,
                  refuse(entry, what, "let the program close it, or try again when it is closed"));
  return {};
}

// Listening, or neither connected nor shut down (TCP_CLOSE).
Result<bool> is_unconnected(int fd, bool listening) {
  constexpr char kTcpClose = 7;
  if (listening) return true;
  const std::string info =
      PD_TRY(kernel::socket_option(fd, IPPROTO_TCP, TCP_INFO, sizeof(tcp_info)));
  return !info.empty() && info[0] == kTcpClose;
}

}  // namespace

Status capture_inet_socket(FileContext& context, OpenFileEntry& entry) {
  const int fd = entry.duplicate.get();
  const int domain =
      PD_TRY_WITHIN(entry.where, kernel::socket_option_int(fd, SOL_SOCKET, SO_DOMAIN));
  const int type = PD_TRY_WITHIN(entry.where, kernel::socket_option_int(fd, SOL_SOCKET, SO_TYPE));
  const bool internet = domain == AF_INET || domain == AF_INET6;
  if (!internet || type != SOCK_STREAM) return refuse_socket(context, entry, domain, type);
  const int protocol =
      PD_TRY_WITHIN(entry.where, kernel::socket_option_int(fd, SOL_SOCKET, SO_PROTOCOL));
  if (protocol != IPPROTO_TCP) return refuse_socket(context, entry, domain, type);
  const bool listening =
      PD_TRY_WITHIN(entry.where, kernel::socket_option_int(fd, SOL_SOCKET, SO_ACCEPTCONN)) != 0;
  if (!PD_TRY_WITHIN(entry.where, is_unconnected(fd, listening))) {
    return refuse_socket(context, entry, domain, type);
  }
  if (kernel::has_socket_filter(fd)) {
    return refuse(entry, "filter on " + describe(entry, domain, type), "let the program remove it");
  }
  object::TcpListener* record = entry.record.mutable_tcp_listener();
  const Endpoint endpoint = endpoint_of(PD_TRY_WITHIN(entry.where, kernel::socket_address(fd)));
  record->set_family(static_cast<int32_t>(domain));
  record->set_address(endpoint.address);
  record->set_port(endpoint.port);
  record->set_scope(endpoint.scope);
  record->set_listening(listening);
  record->set_bound(endpoint.port != 0);
  if (listening) {
    record->set_backlog(PD_TRY_WITHIN(entry.where, kernel::tcp_listen_queue(fd)).backlog);
  }
  for (const std::span<const OptionName> names :
       {common_options(), std::span<const OptionName>(kInternetOptions),
        std::span<const OptionName>(kIpv6Options)}) {
    if (domain == AF_INET && names.data() == kIpv6Options) continue;
    const DefaultOptions defaults = default_options(domain, type, names);
    PD_TRY_WITHIN(entry.where,
                  capture_socket_options(fd, names, defaults, record->mutable_options()));
  }
  return {};
}

}  // namespace perdure::capture
