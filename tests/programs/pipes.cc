// Pipes: content, capacity, flags, packets, an end that is closed, and traffic between processes.
#include <poll.h>

#include "support/program.h"

int main() {
  static uint8_t block[70'000], found[70'000];
  int big[2], packets[2], no_writer[2], no_reader[2], dialogue[2][2];
  SYS(pipe2(big, O_NONBLOCK));
  SYS(fcntl(big[0], F_SETPIPE_SZ, 1 << 17));
  fill(block, sizeof block, 1);
  CHECK_EQ(SYS(write(big[1], block, sizeof block)), sizeof block);
  CHECK_EQ(SYS(read(big[0], found, 1234)), 1234);  // starts in the middle of a page
  SYS(pipe2(packets, O_DIRECT));
  for (const char* text : {"one", "three", "seventeen"})
    CHECK_EQ(SYS(write(packets[1], text, strlen(text))), strlen(text));
  SYS(pipe(no_writer));
  CHECK_EQ(SYS(write(no_writer[1], "last words", 10)), 10);
  close(no_writer[1]);
  SYS(pipe2(no_reader, O_CLOEXEC));
  close(no_reader[0]);
  for (auto& direction : dialogue) SYS(pipe(direction));
  pid_t child = SYS(fork());
  if (child == 0) {
    close(dialogue[0][1]);
    close(dialogue[1][0]);
    char byte;
    while (read(dialogue[0][0], &byte, 1) == 1) CHECK_EQ(SYS(write(dialogue[1][1], &byte, 1)), 1);
    _exit(0);
  }
  close(dialogue[0][0]);
  close(dialogue[1][1]);
  checkpoint_here();

  CHECK_EQ(SYS(fcntl(big[1], F_GETPIPE_SZ)), 1 << 17);
  constexpr int kLargeFile = 0100000;  // of no meaning for a pipe; set where it is opened by name
  CHECK_EQ(SYS(fcntl(big[1], F_GETFL)) & ~kLargeFile, O_WRONLY | O_NONBLOCK);
  CHECK_EQ(SYS(read(big[0], found + 1234, sizeof found - 1234)), sizeof block - 1234);
  check_filled(found, sizeof found, 1, "what was in the pipe");
  CHECK(read(big[0], found, 1) == -1 && errno == EAGAIN);
  char text[32];
  for (const char* expected : {"one", "three", "seventeen"}) {
    long got = SYS(read(packets[0], text, sizeof text - 1));
    text[got] = 0;
    CHECK_TEXT(text, expected);
  }
  CHECK(fcntl(packets[1], F_GETFL) & O_DIRECT);
  CHECK_EQ(SYS(read(no_writer[0], text, sizeof text)), 10);
  CHECK_EQ(SYS(read(no_writer[0], text, sizeof text)), 0);  // end of file, not a wait
  pollfd p = {no_reader[1], POLLOUT, 0};
  CHECK_EQ(SYS(poll(&p, 1, 0)), 1);
  CHECK(p.revents & POLLERR);
  CHECK_EQ(fcntl(no_reader[1], F_GETFD), FD_CLOEXEC);
  for (char c = 'a'; c <= 'z'; ++c) {
    char answer = 0;
    CHECK_EQ(SYS(write(dialogue[0][1], &c, 1)), 1);
    CHECK_EQ(SYS(read(dialogue[1][0], &answer, 1)), 1);
    CHECK_EQ(answer, c);
  }
  close(dialogue[0][1]);
  CHECK_EQ(SYS(read(dialogue[1][0], text, 1)), 0);  // nobody else holds the child's end
  check_child(child);
  done();
}
