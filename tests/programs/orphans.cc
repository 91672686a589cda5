// Children whose parent ended belong to the subreaper, or to init, before and after.
#include <sys/prctl.h>

#include "support/program.h"

int main() {
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  // Adopted by us, because we are a subreaper.
  pid_t middle = SYS(fork());
  if (middle == 0) {
    pid_t dying = getpid();
    if (SYS(fork()) == 0) {
      while (getppid() == dying) pause_ms(1);
      pid_t reaper = getppid();
      mark("adopted");
      await_go();
      CHECK_EQ(getppid(), reaper);
      _exit(33);
    }
    _exit(0);
  }
  check_child(middle);
  await_mark("adopted");
  checkpoint_here();
  int subreaper = 0;
  SYS(prctl(PR_GET_CHILD_SUBREAPER, &subreaper));
  CHECK_EQ(subreaper, 1);
  int status = 0;
  SYS(waitpid(-1, &status, 0));
  CHECK_EQ(status, 33 << 8);
  // And it works for new orphans.
  middle = SYS(fork());
  if (middle == 0) {
    if (SYS(fork()) == 0) {
      pause_ms(20);
      _exit(44);
    }
    _exit(0);
  }
  check_child(middle);
  SYS(waitpid(-1, &status, 0));
  CHECK_EQ(status, 44 << 8);
  done();
}
