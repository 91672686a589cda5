// Numbered records flow through a pipe, a socket and signals between processes while saves are
// taken: none is lost, doubled or reordered.
#include <signal.h>
#include <sys/socket.h>

#include <thread>

#include "support/program.h"

// Copies records from one descriptor to another, checking their order; ends at end of file.
static void relay(int from, int to) {
  for (uint64_t expected = 1, record;; ++expected) {
    size_t have = 0;
    for (long got; have < 8; have += size_t(got)) {
      got = SYS(read(from, reinterpret_cast<char*>(&record) + have, 8 - have));
      if (got == 0) break;
    }
    if (have == 0) break;
    CHECK_EQ(record, expected);
    for (size_t sent = 0; sent < 8;)
      sent += size_t(SYS(write(to, reinterpret_cast<char*>(&record) + sent, 8 - sent)));
  }
  _exit(0);
}

int main() {
  int out[2], middle[2], back[2];
  SYS(pipe(out));
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, middle));
  SYS(pipe(back));
  pid_t first = SYS(fork());
  if (first == 0) {
    for (int fd : {out[1], middle[1], back[0], back[1]}) close(fd);
    relay(out[0], middle[0]);
  }
  pid_t second = SYS(fork());
  if (second == 0) {
    for (int fd : {out[0], out[1], middle[0], back[0]}) close(fd);
    relay(middle[1], back[1]);
  }
  for (int fd : {out[0], middle[0], middle[1], back[1]}) close(fd);
  uint64_t received = 0;
  std::thread reader([&] {
    uint64_t records[64];
    size_t have = 0;
    auto* bytes = reinterpret_cast<char*>(records);
    for (long got; (got = SYS(read(back[0], bytes + have, sizeof records - have))) > 0;) {
      have += size_t(got);
      for (size_t i = 0; i < have / 8; ++i) CHECK_EQ(records[i], ++received);
      memmove(bytes, bytes + have / 8 * 8, have % 8);
      have %= 8;
    }
  });
  uint64_t sent = 0;
  auto send = [&] {
    for (int i = 0; i < 200; ++i) {
      uint64_t record = ++sent;
      CHECK_EQ(SYS(write(out[1], &record, 8)), 8);
    }
  };
  for (int round = 0; round < 3; ++round) checkpoint_here(send);
  send();
  close(out[1]);
  reader.join();
  CHECK_EQ(received, sent);
  check_child(first);
  check_child(second);
  done();
}
