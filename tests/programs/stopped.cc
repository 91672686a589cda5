// Stopped processes stay stopped; the stop is reported once; SIGCONT lets them go on where they
// were.
#include <signal.h>

#include "support/program.h"

static char state(pid_t pid) {
  char file[64];
  snprintf(file, sizeof file, "/proc/%d/status", pid);
  for (;;) {
    const char letter = test::proc_line(file, "State:")[0];
    if (letter != 't') return letter;  // it is being saved in this moment
    pause_ms(1);
  }
}

static pid_t start(const char* name) {
  pid_t pid = SYS(fork());
  if (pid == 0) {
    setpgid(0, 0);  // or SIGTSTP would be ignored, where the group is orphaned
    mark(name);
    for (;;)
      if (test::marked("end")) _exit(3);
  }
  await_mark(name);
  return pid;
}

int main() {
  pid_t reported = start("a"), unreported = start("b");
  SYS(kill(reported, SIGSTOP));
  SYS(kill(unreported, SIGTSTP));
  int status = 0;
  CHECK_EQ(SYS(waitpid(reported, &status, WUNTRACED)), reported);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  while (state(unreported) != 'T') pause_ms(1);
  checkpoint_here();

  CHECK_EQ(state(reported), 'T');
  CHECK_EQ(state(unreported), 'T');
  mark("end");
  CHECK_EQ(SYS(waitpid(unreported, &status, WUNTRACED)), unreported);
  if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTSTP)
    FAIL("status 0x%x is no stop by SIGTSTP", status);
  pause_ms(20);
  CHECK_EQ(state(reported), 'T');
  for (pid_t pid : {reported, unreported}) {
    SYS(kill(pid, SIGCONT));
    do {
      CHECK_EQ(SYS(waitpid(pid, &status, WUNTRACED | WCONTINUED)), pid);
    } while (WIFCONTINUED(status) || WIFSTOPPED(status));
    CHECK_EQ(status, 3 << 8);
  }
  done();
}
