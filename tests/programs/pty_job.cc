// A session on a pseudo terminal with a foreground and a background job: job control works
// afterwards.

// test: terminal

#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "support/program.h"

static void job(const char* name) {
  static volatile int interrupted;
  interrupted = 0;
  signal(SIGINT, [](int) { interrupted = 1; });
  setpgid(0, 0);
  mark(name);
  while (!interrupted) pause_ms(1);
  close(SYS(open("/dev/tty", O_RDWR | O_CLOEXEC)));  // the terminal of its session
  char text[64];
  snprintf(text, sizeof text, "%s.interrupted", name);
  mark(text);
  _exit(0);
}

// The session leader, a small shell: starts both jobs, hands over the terminal, waits.
static void leader() {
  signal(SIGTTOU, SIG_IGN);
  pid_t foreground = SYS(fork());
  if (foreground == 0) job("foreground");
  pid_t background = SYS(fork());
  if (background == 0) job("background");
  await_mark("foreground");
  await_mark("background");
  SYS(tcsetpgrp(0, foreground));
  mark("leader-ready");
  await_go();
  CHECK_EQ(tcgetpgrp(0), foreground);
  CHECK_EQ(tcgetsid(0), getpid());
  int terminal = SYS(open("/dev/tty", O_RDWR));  // it still is the controlling terminal
  CHECK_EQ(tcgetpgrp(terminal), foreground);
  mark("leader-checked");
  check_child(foreground);
  CHECK(!test::marked("background.interrupted"));
  SYS(tcsetpgrp(0, background));
  mark("leader-switched");
  check_child(background);
  SYS(tcsetpgrp(0, getpid()));
  _exit(0);
}

int main() {
  int master;
  pid_t shell = SYS(forkpty(&master, nullptr, nullptr, nullptr));
  if (shell == 0) leader();
  await_mark("leader-ready");
  checkpoint_here();
  await_mark("leader-checked");
  CHECK_EQ(SYS(write(master, "\003", 1)), 1);  // control-C goes to the foreground job only
  await_mark("foreground.interrupted");
  await_mark("leader-switched");
  CHECK_EQ(SYS(write(master, "\003", 1)), 1);
  await_mark("background.interrupted");
  check_child(shell);
  done();
}
