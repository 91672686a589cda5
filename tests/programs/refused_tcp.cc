// An established TCP connection: refused, named by descriptor, unharmed; data goes on to flow.

// test: refused

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "support/program.h"

int main() {
  int listener = SYS(socket(AF_INET, SOCK_STREAM, 0)),
      client = SYS(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  SYS(bind(listener, reinterpret_cast<sockaddr*>(&address), size));
  SYS(listen(listener, 1));
  SYS(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size));
  SYS(connect(client, reinterpret_cast<sockaddr*>(&address), size));
  int peer = SYS(accept(listener, nullptr, nullptr));
  CHECK_EQ(SYS(write(client, "under way", 9)), 9);
  checkpoint_here();
  char text[16] = {};
  CHECK_EQ(SYS(recv(peer, text, 9, MSG_WAITALL)), 9);
  CHECK_TEXT(text, "under way");
  CHECK_EQ(SYS(write(peer, "answer", 6)), 6);
  CHECK_EQ(SYS(recv(client, text, 6, MSG_WAITALL)), 6);
  done();
}
