// A child whose parent ended, without a subreaper: it lives on below init, in its own process
// group.

// test: not_attached (an orphan is not below the process that is attached)

#include "support/program.h"

int main() {
  pid_t middle = SYS(fork());
  if (middle == 0) {
    pid_t dying = getpid();
    if (SYS(fork()) == 0) {
      while (getppid() == dying) pause_ms(1);
      pid_t adopter = getppid();
      mark("adopted");
      await_go();
      CHECK_EQ(getppid(), adopter);
      mark("orphan-lives");
      _exit(0);
    }
    _exit(0);
  }
  check_child(middle);
  await_mark("adopted");
  checkpoint_here();
  CHECK(waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD);
  await_mark("orphan-lives");
  done();
}
