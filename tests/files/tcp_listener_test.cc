#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/socket.h"
#include "trip.h"

namespace perdure::trip {
namespace {

uint16_t port_of(int fd) {
  sockaddr_in6 address = {};
  socklen_t size = sizeof(address);
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin6_port);
}

int listener(uint16_t port, int backlog) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  REQUIRE(::listen(fd, backlog) == 0);
  return fd;
}

int client(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  return fd;
}

int option(int fd, int level, int name) {
  return kernel::socket_option_int(fd, level, name).value();
}

TEST(TcpListener, AddressBacklogAndOptionsComeBack) {
  Plan plan;
  plan.set_up = [] {
    place(listener(0, 7), 20);
    REQUIRE(kernel::set_socket_option_int(20, IPPROTO_TCP, TCP_NODELAY, 1).ok());
    REQUIRE(kernel::set_socket_option_int(20, IPPROTO_TCP, TCP_KEEPIDLE, 77).ok());
    REQUIRE(kernel::set_socket_option_int(20, SOL_SOCKET, SO_KEEPALIVE, 1).ok());
    REQUIRE(kernel::set_socket_option_int(20, IPPROTO_TCP, TCP_DEFER_ACCEPT, 3).ok());
    make_nonblocking(20);
    const int six = ::socket(AF_INET6, SOCK_STREAM, 0);
    REQUIRE(kernel::set_socket_option_int(six, IPPROTO_IPV6, IPV6_V6ONLY, 1).ok());
    REQUIRE(kernel::set_socket_option_int(six, SOL_SOCKET, SO_REUSEPORT, 1).ok());
    REQUIRE(::listen(six, 5) == 0);
    place(six, 21);
    place(::socket(AF_INET, SOCK_STREAM, 0), 22);
    REQUIRE(kernel::set_socket_option_int(22, SOL_SOCKET, SO_RCVBUF, 9000).ok());
  };
  plan.check = [](int) {
    REQUIRE(kernel::tcp_listen_queue(20).value().backlog == 7);
    REQUIRE(option(20, IPPROTO_TCP, TCP_NODELAY) == 1);
    REQUIRE(option(20, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
    REQUIRE(option(20, SOL_SOCKET, SO_KEEPALIVE) == 1);
    REQUIRE(option(20, IPPROTO_TCP, TCP_DEFER_ACCEPT) == 3);
    REQUIRE(option(20, SOL_SOCKET, SO_REUSEADDR) == 0);
    REQUIRE(option(21, IPPROTO_IPV6, IPV6_V6ONLY) == 1);
    REQUIRE(option(21, SOL_SOCKET, SO_REUSEPORT) == 1);
    REQUIRE(option(22, SOL_SOCKET, SO_RCVBUF) == 18'000);
    REQUIRE(kernel::set_socket_option_int(20, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0).ok());
    const int from = client(port_of(20));
    write_text(from, "hello");
    place(::accept(20, nullptr, nullptr), 30);
    REQUIRE(read_text(30) == "hello");
    REQUIRE(port_of(21) != 0);
  };
  expect_round_trip(plan);
}

TEST(TcpListener, APortInUseIsRefusedAndItsHolderNamed) {
  uint16_t port = 0;
  Plan plan;
  plan.set_up = [] { place(listener(0, 7), 20); };
  plan.check = [](int) {};
  Group group(plan);
  ASSERT_TRUE(group.capture().ok());
  port = static_cast<uint16_t>(group.file(20).tcp_listener().port());
  group.lose();
  const int other = listener(port, 1);
  const std::string refused = group.restore();
  EXPECT_NE(refused.find("TCP address 127.0.0.1:" + std::to_string(port) + " is in use by pid " +
                         std::to_string(::getpid())),
            std::string::npos)
      << refused;
  ::close(other);
  EXPECT_EQ(group.restore(), "");
}

TEST(TcpListener, ConnectionsAndOtherProtocolsAreRefusedByName) {
  const int server = listener(0, 5);
  const uint16_t port = port_of(server);
  const std::string connection = refusal_of([&] { place(client(port), 20); });
  EXPECT_NE(connection.find("): TCP connection 127.0.0.1:"), std::string::npos) << connection;
  EXPECT_NE(connection.find("to 127.0.0.1:" + std::to_string(port) + " cannot be saved"),
            std::string::npos);
  const std::string datagram = refusal_of([] { place(::socket(AF_INET6, SOCK_DGRAM, 0), 20); });
  EXPECT_NE(datagram.find("): UDP socket [::]:0 cannot be saved"), std::string::npos) << datagram;
  const std::string netlink = refusal_of([] { place(::socket(AF_NETLINK, SOCK_RAW, 0), 20); });
  EXPECT_NE(netlink.find("netlink socket"), std::string::npos) << netlink;
  ::close(server);
}

}  // namespace
}  // namespace perdure::trip
