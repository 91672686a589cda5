// PR_SET_PDEATHSIG: a child still learns of its parent's death.
#include <signal.h>
#include <sys/prctl.h>

#include "support/program.h"

static volatile int got = 0;
static void handler(int signal) { got = signal; }

int main() {
  pid_t parent = SYS(fork());
  if (parent == 0) {
    pid_t child = SYS(fork());
    if (child == 0) {
      signal(SIGUSR2, handler);
      SYS(prctl(PR_SET_PDEATHSIG, SIGUSR2));
      mark("child-ready");
      await_go();
      int found = 0;
      SYS(prctl(PR_GET_PDEATHSIG, &found));
      CHECK_EQ(found, SIGUSR2);
      mark("child-waits");
      while (!got) pause_ms(1);
      mark("child-was-told");
      _exit(0);
    }
    await_go();
    await_mark("child-waits");
    _exit(0);
  }
  await_mark("child-ready");
  checkpoint_here();
  check_child(parent);
  await_mark("child-was-told");
  done();
}
