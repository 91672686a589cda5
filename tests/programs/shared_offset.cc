// One open file description seen through dup(), fork() and SCM_RIGHTS has one offset; a second
// open() has its own.
#include "support/program.h"

int main() {
  int fd = SYS(open(test::path("data"), O_RDWR | O_CREAT | O_TRUNC, 0644));
  for (int i = 0; i < 100; ++i) CHECK_EQ(SYS(write(fd, "0123456789", 10)), 10);
  SYS(lseek(fd, 100, SEEK_SET));
  int copy = SYS(dup(fd)), high = SYS(fcntl(fd, F_DUPFD_CLOEXEC, 500));
  int own = SYS(open(test::path("data"), O_RDONLY));
  SYS(lseek(own, 300, SEEK_SET));
  pid_t child = SYS(fork());
  if (child == 0) {
    close(fd);
    await_mark("moved");
    CHECK_EQ(SYS(lseek(copy, 0, SEEK_CUR)), 207);
    CHECK_EQ(SYS(lseek(own, 0, SEEK_CUR)), 300);
    SYS(lseek(high, 555, SEEK_SET));
    _exit(0);
  }
  checkpoint_here();

  CHECK_EQ(SYS(lseek(copy, 0, SEEK_CUR)), 100);
  SYS(lseek(fd, 207, SEEK_SET));
  CHECK_EQ(SYS(lseek(high, 0, SEEK_CUR)), 207);
  mark("moved");
  check_child(child);
  CHECK_EQ(SYS(lseek(fd, 0, SEEK_CUR)), 555);
  CHECK_EQ(SYS(lseek(own, 0, SEEK_CUR)), 300);
  int flags = fcntl(fd, F_GETFL);
  SYS(fcntl(copy, F_SETFL, flags | O_APPEND));  // flags are shared too
  CHECK(fcntl(fd, F_GETFL) & O_APPEND);
  CHECK(!(fcntl(own, F_GETFL) & O_APPEND));
  done();
}
