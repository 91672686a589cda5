// Process groups and sessions, also those whose leader has ended.

// test: not_attached (an orphan is not below the process that is attached)

#include <signal.h>

#include "support/program.h"

// What a child does before and after; each reports through its exit code.
static pid_t start(const char* name, void (*setup)(), void (*verify)()) {
  pid_t pid = SYS(fork());
  if (pid == 0) {
    setup();
    mark(name);
    await_go();
    verify();
    _exit(0);
  }
  await_mark(name);
  return pid;
}

static pid_t saved_group, saved_session;
static void remember() {
  saved_group = getpgrp();
  saved_session = getsid(0);
}
static void compare() {
  CHECK_EQ(getpgrp(), saved_group);
  CHECK_EQ(getsid(0), saved_session);
}

// Leaves a process behind whose group (and session) leader has ended.
static pid_t start_leaderless(const char* name, bool session) {
  pid_t leader = SYS(fork());
  if (leader == 0) {
    session ? setsid() : setpgid(0, 0);
    pid_t member = SYS(fork());
    if (member == 0) {
      remember();
      mark(name);
      await_go();
      compare();
      mark(session ? "verified.session" : "verified.group");
      _exit(0);
    }
    _exit(0);
  }
  int status;
  SYS(waitpid(leader, &status, 0));
  await_mark(name);
  return leader;
}

int main() {
  remember();
  pid_t children[] = {
      start("same", remember, compare),
      start(
          "group",
          [] {
            SYS(setpgid(0, 0));
            remember();
            CHECK_EQ(saved_group, getpid());
          },
          compare),
      start(
          "session",
          [] {
            SYS(setsid());
            remember();
            CHECK_EQ(saved_session, getpid());
          },
          compare),
  };
  pid_t member = start("member", remember, compare);
  SYS(setpgid(member, children[1]));  // a member of the second child's group
  CHECK_EQ(getpgid(member), children[1]);
  pid_t lost_group = start_leaderless("leaderless.group", false);
  pid_t lost_session = start_leaderless("leaderless.session", true);
  SYS(kill(-lost_group, 0));
  SYS(kill(-lost_session, 0));
  CHECK_EQ(getpgid(children[1]), children[1]);
  // The member's own view must be taken after its move.
  kill(member, SIGKILL);
  int status;
  SYS(waitpid(member, &status, 0));
  checkpoint_here();
  compare();
  for (pid_t child : children) check_child(child);
  await_mark("verified.group");
  await_mark("verified.session");
  done();
}
