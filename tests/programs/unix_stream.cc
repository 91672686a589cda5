// Pairs of Unix stream sockets: queued bytes both ways, half-closed, closed, across processes.
#include <sys/socket.h>

#include "support/program.h"

static long receive(int fd, void* buffer, size_t size, int flags = MSG_DONTWAIT) {
  return recv(fd, buffer, size, flags);
}

int main() {
  static uint8_t block[50'000], found[50'000];
  int pair[2], half[2], dead[2], unread[2], across[2];
  for (auto* p : {&pair, &half, &dead, &unread, &across})
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, *p));
  fill(block, sizeof block, 2);
  for (size_t at = 0; at < sizeof block; at += 10'000)
    CHECK_EQ(SYS(write(pair[0], block + at, 10'000)), 10'000);
  CHECK_EQ(SYS(write(pair[1], "back", 4)), 4);
  CHECK_EQ(SYS(write(half[0], "then nothing", 12)), 12);
  SYS(shutdown(half[0], SHUT_WR));
  CHECK_EQ(SYS(write(dead[0], "bequest", 7)), 7);
  close(dead[0]);
  SYS(fcntl(unread[0], F_SETFL, O_NONBLOCK));
  pid_t child = SYS(fork());
  if (child == 0) {
    close(across[0]);
    char text[32] = {};
    CHECK_EQ(SYS(read(across[1], text, sizeof text)), 4);
    CHECK_EQ(SYS(write(across[1], text, 4)), 4);
    CHECK_EQ(SYS(read(across[1], text, sizeof text)), 0);
    _exit(0);
  }
  close(across[1]);
  checkpoint_here();

  char text[32] = {};
  for (size_t at = 0; at < sizeof found;) {
    long got = receive(pair[1], found + at, 7777);
    if (got <= 0)
      FAIL("only %zu of %zu queued bytes came back (%s)", at, sizeof found, strerror(errno));
    at += size_t(got);
  }
  check_filled(found, sizeof found, 2, "the queue");
  CHECK(receive(pair[1], text, 1) == -1 && errno == EAGAIN);
  CHECK_EQ(SYS(read(pair[0], text, sizeof text)), 4);
  CHECK_EQ(SYS(read(half[1], text, sizeof text)), 12);
  CHECK_EQ(receive(half[1], text, 1), 0);
  CHECK_EQ(SYS(write(half[1], "still", 5)), 5);
  CHECK_EQ(receive(half[0], text, sizeof text), 5);
  CHECK(send(half[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
  CHECK_EQ(receive(dead[1], text, sizeof text), 7);
  CHECK_EQ(receive(dead[1], text, sizeof text), 0);
  CHECK(send(dead[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
  CHECK(read(unread[0], text, 1) == -1 && errno == EAGAIN);  // non-blocking, empty, alive
  ucred peer;
  socklen_t size = sizeof peer;
  SYS(getsockopt(across[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
  CHECK_EQ(SYS(write(across[0], "echo", 4)), 4);
  CHECK_EQ(SYS(read(across[0], text, sizeof text)), 4);
  SYS(shutdown(across[0], SHUT_WR));
  check_child(child);
  CHECK_EQ(receive(across[0], text, 1), 0);
  done();
}
