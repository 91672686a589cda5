// Named pipes: content and both ends; a process that opens the name later meets the same pipe.
#include <sys/stat.h>

#include "support/program.h"

int main() {
  SYS(mkfifo(test::path("fifo"), 0600));
  SYS(mkfifo(test::path("deleted"), 0600));
  int both = SYS(open(test::path("fifo"), O_RDWR | O_NONBLOCK));
  int reader = SYS(open(test::path("fifo"), O_RDONLY | O_NONBLOCK));
  int writer = SYS(open(test::path("fifo"), O_WRONLY));
  CHECK_EQ(SYS(write(writer, "in the fifo", 11)), 11);
  int lost = SYS(open(test::path("deleted"), O_RDWR));
  CHECK_EQ(SYS(write(lost, "kept", 4)), 4);
  checkpoint_here();

  char text[32] = {};
  CHECK_EQ(SYS(read(reader, text, 6)), 6);
  CHECK_EQ(SYS(read(both, text + 6, sizeof text - 6)), 5);
  CHECK_TEXT(text, "in the fifo");
  pid_t child = SYS(fork());
  if (child == 0) {
    int again = SYS(open(test::path("fifo"), O_WRONLY));
    CHECK_EQ(SYS(write(again, "by name", 8)), 8);
    _exit(0);
  }
  check_child(child);
  CHECK_EQ(SYS(read(reader, text, sizeof text)), 8);
  CHECK_TEXT(text, "by name");
  memset(text, 0, sizeof text);
  CHECK_EQ(SYS(read(lost, text, sizeof text)), 4);
  CHECK_TEXT(text, "kept");
  CHECK_EQ(SYS(fcntl(both, F_GETFL)) & (O_ACCMODE | O_NONBLOCK), O_RDWR | O_NONBLOCK);
  close(both);
  close(writer);
  CHECK_EQ(SYS(read(reader, text, sizeof text)), 0);
  done();
}
