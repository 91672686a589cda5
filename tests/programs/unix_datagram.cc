// Unix datagram and seqpacket sockets: message boundaries, empty messages, senders' names.
#include <sys/socket.h>
#include <sys/un.h>

#include "support/program.h"

static sockaddr_un named(const char* name) {
  sockaddr_un address = {AF_UNIX, {}};
  strncpy(address.sun_path, test::path(name), sizeof address.sun_path - 1);
  return address;
}
static int bound(const char* name) {
  int fd = SYS(socket(AF_UNIX, SOCK_DGRAM, 0));
  sockaddr_un address = named(name);
  SYS(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
  return fd;
}
static void expect(int fd, const char* expected, const char* sender = nullptr) {
  char text[64] = {};
  sockaddr_un from = {};
  socklen_t size = sizeof from;
  long got =
      recvfrom(fd, text, sizeof text - 1, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size);
  if (got < 0) FAIL("\"%s\" is not in the queue: %s", expected, strerror(errno));
  CHECK_EQ(got, strlen(expected));
  CHECK_TEXT(text, expected);
  if (sender) CHECK_TEXT(from.sun_path, named(sender).sun_path);
}

int main() {
  int datagrams[2], packets[2], closed[2];
  SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams));
  SYS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets));
  SYS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, closed));
  for (const char* text : {"first", "", "second one"}) {
    CHECK_EQ(SYS(send(datagrams[0], text, strlen(text), 0)), strlen(text));
    CHECK_EQ(SYS(send(packets[1], text, strlen(text), 0)), strlen(text));
  }
  CHECK_EQ(SYS(send(closed[0], "final", 5, 0)), 5);
  close(closed[0]);
  int server = bound("server"), client = bound("client"), connected = bound("connected");
  sockaddr_un address = named("server");
  CHECK_EQ(SYS(sendto(client, "from client", 11, 0, reinterpret_cast<sockaddr*>(&address),
                      sizeof address)),
           11);
  SYS(connect(connected, reinterpret_cast<sockaddr*>(&address), sizeof address));
  CHECK_EQ(SYS(send(connected, "from connected", 14, 0)), 14);
  checkpoint_here();

  for (const char* text : {"first", "", "second one"}) {
    expect(datagrams[1], text);
    expect(packets[0], text);
  }
  expect(server, "from client", "client");
  expect(server, "from connected", "connected");
  CHECK_EQ(SYS(send(connected, "again", 5, 0)), 5);
  expect(server, "again", "connected");
  CHECK_EQ(
      SYS(sendto(client, "by name", 7, 0, reinterpret_cast<sockaddr*>(&address), sizeof address)),
      7);
  expect(server, "by name", "client");
  expect(closed[1], "final");
  char byte;
  CHECK_EQ(recv(closed[1], &byte, 1, MSG_DONTWAIT), 0);
  int type = 0;
  socklen_t size = sizeof type;
  SYS(getsockopt(packets[0], SOL_SOCKET, SO_TYPE, &type, &size));
  CHECK_EQ(type, SOCK_SEQPACKET);
  done();
}
