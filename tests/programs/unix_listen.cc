// Listening Unix sockets, by path and abstract, accept clients afterwards; connections inside the
// group go on.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "support/program.h"

struct Server {
  int fd;
  sockaddr_un address;
  socklen_t size;
};

static Server listening(const char* name, bool abstract, int type) {
  Server server = {
      SYS(socket(AF_UNIX, type | SOCK_CLOEXEC, 0)), {AF_UNIX, {}}, sizeof(sockaddr_un)};
  char* at = server.address.sun_path + abstract;
  snprintf(at, sizeof server.address.sun_path - 1, "%s", test::path(name));
  if (abstract) server.size = socklen_t(offsetof(sockaddr_un, sun_path) + 1 + strlen(at));
  SYS(bind(server.fd, reinterpret_cast<sockaddr*>(&server.address), server.size));
  SYS(listen(server.fd, 5));
  return server;
}

static void exchange(int client, int accepted, const char* text) {
  char found[64] = {};
  CHECK_EQ(SYS(write(client, text, strlen(text))), strlen(text));
  CHECK_EQ(SYS(read(accepted, found, sizeof found)), strlen(text));
  CHECK_TEXT(found, text);
  CHECK_EQ(SYS(write(accepted, "answer", 6)), 6);
  CHECK_EQ(SYS(read(client, found, 6)), 6);
}

static int connected(const Server& server, int type) {
  int client = SYS(socket(AF_UNIX, type, 0));
  SYS(connect(client, reinterpret_cast<const sockaddr*>(&server.address), server.size));
  return client;
}

int main() {
  Server servers[] = {listening("stream", false, SOCK_STREAM),
                      listening("abstract", true, SOCK_STREAM),
                      listening("packet", false, SOCK_SEQPACKET)};
  int types[] = {SOCK_STREAM, SOCK_STREAM, SOCK_SEQPACKET};
  SYS(chmod(test::path("stream"), 0620));
  int clients[3], accepted[3];
  for (int i = 0; i < 3; ++i) {
    clients[i] = connected(servers[i], types[i]);
    accepted[i] = SYS(accept(servers[i].fd, nullptr, nullptr));
  }
  checkpoint_here();

  for (int i = 0; i < 3; ++i) {
    exchange(clients[i], accepted[i], "an old connection");
    int fresh = connected(servers[i], types[i]);
    int peer = SYS(accept(servers[i].fd, nullptr, nullptr));
    exchange(fresh, peer, "a new connection");
    sockaddr_un address = {};
    socklen_t size = sizeof address;
    SYS(getsockname(accepted[i], reinterpret_cast<sockaddr*>(&address), &size));
    CHECK_EQ(size, servers[i].size == sizeof(sockaddr_un)
                       ? offsetof(sockaddr_un, sun_path) + strlen(address.sun_path) + 1
                       : servers[i].size);
    CHECK(memcmp(address.sun_path, servers[i].address.sun_path, 20) == 0);
    int listens = 0;
    size = sizeof listens;
    SYS(getsockopt(servers[i].fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size));
    CHECK_EQ(listens, 1);
    CHECK_EQ(fcntl(servers[i].fd, F_GETFD), FD_CLOEXEC);
  }
  struct stat status;
  SYS(stat(test::path("stream"), &status));
  CHECK(S_ISSOCK(status.st_mode));
  CHECK_EQ(status.st_mode & 0777, 0620);
  done();
}
