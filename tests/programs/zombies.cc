// Zombies keep their PID and status until their parent asks: exited, killed, dumped; leader of a
// group with members.

// test: not_attached (an orphan is not below the process that is attached)

#include <signal.h>
#include <sys/resource.h>

#include "support/program.h"

static pid_t dead(void (*end)()) {
  pid_t pid = SYS(fork());
  if (pid == 0) end();
  siginfo_t info;
  SYS(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
  return pid;
}

int main() {
  rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  pid_t exited = dead([] { _exit(7); });
  pid_t killed = dead([] {
    raise(SIGKILL);
    _exit(1);
  });
  pid_t aborted = dead([] {
    signal(SIGABRT, SIG_DFL);
    raise(SIGABRT);
    _exit(1);
  });
  // A zombie that leads the process group of a living process.
  pid_t leader = SYS(fork());
  if (leader == 0) {
    setpgid(0, 0);
    if (SYS(fork()) == 0) {
      mark("member");
      await_go();
      mark("member-done");
      _exit(0);
    }
    _exit(9);
  }
  siginfo_t info;
  SYS(waitid(P_PID, leader, &info, WEXITED | WNOWAIT));
  await_mark("member");
  checkpoint_here();

  char file[64];
  snprintf(file, sizeof file, "/proc/%d/status", exited);
  CHECK_EQ(test::proc_line(file, "State:")[0], 'Z');
  int status = 0;
  CHECK_EQ(SYS(waitpid(exited, &status, 0)), exited);
  CHECK_EQ(status, 7 << 8);
  CHECK_EQ(SYS(waitpid(killed, &status, 0)), killed);
  CHECK_EQ(status, SIGKILL);
  CHECK_EQ(SYS(waitpid(aborted, &status, 0)), aborted);
  CHECK_EQ(status & 0x7f, SIGABRT);
  await_mark("member-done");
  CHECK_EQ(SYS(waitpid(leader, &status, 0)), leader);
  CHECK_EQ(status, 9 << 8);
  CHECK(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD);
  done();
}
