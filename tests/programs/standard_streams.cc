// The inherited standard streams keep working: fd 0, 1 and 2 are open, and duplicates still are the
// same description.
#include <linux/kcmp.h>

#include "support/program.h"

static bool same(int one, int other) {
  return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, one, other) == 0;
}

int main() {
  int copy = SYS(fcntl(1, F_DUPFD_CLOEXEC, 20));
  bool one_for_both = same(1, 2);
  pid_t child = SYS(fork());
  if (child == 0) {
    close(0);
    await_go();
    CHECK(fcntl(0, F_GETFD) == -1);
    CHECK_EQ(SYS(write(1, "from the child\n", 15)), 15);
    _exit(0);
  }
  checkpoint_here();
  for (int fd : {0, 1, 2}) SYS(fcntl(fd, F_GETFD));
  CHECK(same(1, copy));
  CHECK_EQ(same(1, 2), one_for_both);
  CHECK_EQ(SYS(write(copy, "hello\n", 6)), 6);
  CHECK_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
  check_child(child);
  done();
}
