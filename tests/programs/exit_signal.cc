// The signal that a parent gets when a child ends: SIGUSR1, none, or the usual SIGCHLD with its
// siginfo.
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>

#include "support/program.h"

static volatile int user_signals = 0, child_signals = 0, child_pid = 0, child_status = 0;
static void on_user(int) { user_signals = user_signals + 1; }
static void on_child(int, siginfo_t* info, void*) {
  child_signals = child_signals + 1;
  child_pid = info->si_pid;
  child_status = info->si_status;
}

static pid_t start(int exit_signal, int code) {
  clone_args arguments = {};
  arguments.exit_signal = exit_signal;
  pid_t pid = pid_t(SYS(syscall(SYS_clone3, &arguments, sizeof arguments)));
  if (pid == 0) {
    char name[32];
    snprintf(name, sizeof name, "end.%d", code);
    await_mark(name);
    _exit(code);
  }
  return pid;
}

int main() {
  signal(SIGUSR1, on_user);
  struct sigaction action = {};
  action.sa_sigaction = on_child;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  SYS(sigaction(SIGCHLD, &action, nullptr));
  pid_t with_user = start(SIGUSR1, 1), with_none = start(0, 2), usual = start(SIGCHLD, 3);
  checkpoint_here();

  int status = 0;
  mark("end.1");
  while (SYS(waitpid(with_user, &status, __WALL | WNOHANG)) == 0) pause_ms(1);
  CHECK_EQ(status, 1 << 8);
  CHECK_EQ(user_signals, 1);
  CHECK_EQ(child_signals, 0);
  mark("end.2");
  while (SYS(waitpid(with_none, &status, __WALL | WNOHANG)) == 0) pause_ms(1);
  CHECK_EQ(status, 2 << 8);
  CHECK_EQ(child_signals, 0);
  CHECK(waitpid(usual, &status, __WCLONE | WNOHANG) == -1 && errno == ECHILD);
  mark("end.3");
  while (!child_signals) pause_ms(1);
  CHECK_EQ(child_pid, usual);
  CHECK_EQ(child_status, 3);
  CHECK_EQ(SYS(waitpid(usual, &status, 0)), usual);
  CHECK_EQ(child_signals, 1);
  done();
}
