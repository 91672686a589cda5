// The table itself: which numbers are open, which are not, and which close at exec; each process
// has its own.
#include <sys/stat.h>

#include "support/program.h"

static int null_at(int number, int flags) {
  int fd = SYS(open("/dev/null", O_RDWR | O_CLOEXEC));
  SYS(dup3(fd, number, flags));
  close(fd);
  return number;
}

static void check_table(bool child) {
  for (int fd = 3; fd < 1100; ++fd) {
    bool expected_open =
        fd == 10 || fd == 1023 || (fd >= 40 && fd < 60 && fd % 3) || (child ? fd == 77 : fd == 11);
    int flags = fcntl(fd, F_GETFD);
    if ((flags != -1) != expected_open)
      FAIL("descriptor %d is %s", fd, flags == -1 ? "closed" : "open");
    if (flags == -1) continue;
    CHECK_EQ(flags, fd % 2 ? FD_CLOEXEC : 0);
  }
}

int main() {
  struct stat first, second;
  null_at(10, 0);
  null_at(1023, O_CLOEXEC);
  for (int fd = 40; fd < 60; ++fd)
    if (fd % 3) null_at(fd, fd % 2 ? O_CLOEXEC : 0);
  for (int fd = 3; fd < 1100; ++fd)  // whatever we inherited
    if (fd != 10 && fd != 1023 && !(fd >= 40 && fd < 60)) close(fd);
  pid_t child = SYS(fork());
  if (child == 0) {
    null_at(77, O_CLOEXEC);
    mark("child-ready");
    await_go();
    check_table(true);
    _exit(0);
  }
  null_at(11, O_CLOEXEC);
  await_mark("child-ready");
  checkpoint_here();
  check_table(false);
  SYS(fstat(10, &first));
  SYS(stat("/dev/null", &second));
  CHECK_EQ(first.st_rdev, second.st_rdev);
  CHECK_EQ(SYS(open("/dev/null", O_RDONLY)), 3);  // the lowest free number
  check_child(child);
  done();
}
