// Listening TCP sockets, IPv4 and IPv6: address, port, options; clients get through after the
// restore.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "support/program.h"

struct Server {
  int fd;
  sockaddr_storage address;
  socklen_t size;
};

static void set(int fd, int level, int name, int value) {
  SYS(setsockopt(fd, level, name, &value, sizeof value));
}
static int get(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  SYS(getsockopt(fd, level, name, &value, &size));
  return value;
}

static Server listening(int family) {
  Server server = {SYS(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
                   {},
                   sizeof(sockaddr_storage)};
  set(server.fd, SOL_SOCKET, SO_REUSEADDR, 1);
  set(server.fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(server.fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set(server.fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
  set(server.fd, IPPROTO_TCP, TCP_KEEPIDLE, 77);
  if (family == AF_INET) {
    auto* address = reinterpret_cast<sockaddr_in*>(&server.address);
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else {
    set(server.fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    reinterpret_cast<sockaddr_in6*>(&server.address)->sin6_addr = in6addr_loopback;
  }
  server.address.ss_family = sa_family_t(family);
  SYS(bind(server.fd, reinterpret_cast<sockaddr*>(&server.address),
           family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6)));
  SYS(listen(server.fd, 17));
  SYS(getsockname(server.fd, reinterpret_cast<sockaddr*>(&server.address), &server.size));
  return server;
}

int main() {
  Server servers[] = {listening(AF_INET), listening(AF_INET6)};
  checkpoint_here();
  for (Server& server : servers) {
    bool v6 = server.address.ss_family == AF_INET6;
    sockaddr_storage found = {};
    socklen_t size = sizeof found;
    SYS(getsockname(server.fd, reinterpret_cast<sockaddr*>(&found), &size));
    CHECK(size == server.size && memcmp(&found, &server.address, size) == 0);
    CHECK_EQ(get(server.fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
    CHECK_EQ(get(server.fd, SOL_SOCKET, SO_REUSEADDR), 1);
    CHECK_EQ(get(server.fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    CHECK_EQ(get(server.fd, IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK_EQ(get(server.fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
    if (v6) CHECK_EQ(get(server.fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
    CHECK(fcntl(server.fd, F_GETFL) & O_NONBLOCK);
    CHECK(accept(server.fd, nullptr, nullptr) == -1 && errno == EAGAIN);
    int client = SYS(socket(server.address.ss_family, SOCK_STREAM, 0));
    SYS(connect(client, reinterpret_cast<sockaddr*>(&server.address), server.size));
    int peer = -1;
    for (int i = 0; peer < 0 && i < 1000; ++i, pause_ms(1))
      peer = accept(server.fd, nullptr, nullptr);
    CHECK_EQ(SYS(write(client, "tcp", 3)), 3);
    char text[8] = {};
    CHECK_EQ(SYS(recv(peer, text, 3, MSG_WAITALL)), 3);
    CHECK_TEXT(text, "tcp");
    CHECK_EQ(get(peer, IPPROTO_TCP, TCP_NODELAY), 1);  // inherited from the listener
  }
  done();
}
