// Options of Unix sockets: buffers, time limits, credentials passing, and a receive that waits with
// a limit.
#include <sys/socket.h>
#include <sys/time.h>

#include <thread>

#include "support/program.h"

static int get(int fd, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  SYS(getsockopt(fd, SOL_SOCKET, name, &value, &size));
  return value;
}
static void set(int fd, int name, int value) {
  SYS(setsockopt(fd, SOL_SOCKET, name, &value, sizeof value));
}

int main() {
  int pair[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  set(pair[0], SO_RCVBUF, 30'000);
  set(pair[0], SO_SNDBUF, 40'000);
  set(pair[0], SO_PASSCRED, 1);
  set(pair[1], SO_PRIORITY, 3);
  timeval limit = {2, 0};
  SYS(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  int names[] = {SO_RCVBUF, SO_SNDBUF, SO_PASSCRED, SO_PRIORITY};
  int before[2][4];
  for (int end = 0; end < 2; ++end)
    for (int i = 0; i < 4; ++i) before[end][i] = get(pair[end], names[i]);
  std::thread waiter([&] {
    char byte;
    int64_t begin = now_ms();
    long got = recv(pair[0], &byte, 1, 0);
    int error = errno;
    int64_t took = now_ms() - begin;
    if (got != -1 || error != EAGAIN) FAIL("recv gave %ld (%s)", got, strerror(error));
    // A restarted receive waits its whole limit again, as after any signal with SA_RESTART it would
    // not: allow twice.
    if (took < 1999 || took > 4000 + slack_ms()) FAIL("recv with SO_RCVTIMEO took %ld ms", took);
  });
  pause_ms(500);
  checkpoint_here();
  for (int end = 0; end < 2; ++end)
    for (int i = 0; i < 4; ++i)
      if (get(pair[end], names[i]) != before[end][i])
        FAIL("option %d of end %d is %d, not %d", names[i], end, get(pair[end], names[i]),
             before[end][i]);
  timeval found = {};
  socklen_t size = sizeof found;
  SYS(getsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &found, &size));
  CHECK(found.tv_sec == 2 && found.tv_usec == 0);
  waiter.join();
  done();
}
