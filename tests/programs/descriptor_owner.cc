// Who gets which signal when a descriptor becomes ready: F_SETOWN, F_SETOWN_EX, F_SETSIG, O_ASYNC.
#include <signal.h>
#include <sys/socket.h>

#include "support/program.h"

static volatile int got_signal = 0, got_fd = -1;
static void handler(int signal, siginfo_t* info, void*) {
  got_signal = signal;
  got_fd = info->si_fd;
}

int main() {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  SYS(sigaction(SIGRTMIN + 4, &action, nullptr));
  int pipes[2], pair[2], group[2];
  SYS(pipe(pipes));
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  SYS(pipe(group));
  SYS(fcntl(pipes[0], F_SETOWN, getpid()));
  SYS(fcntl(pipes[0], F_SETSIG, SIGRTMIN + 4));
  SYS(fcntl(pipes[0], F_SETFL, O_ASYNC | O_NONBLOCK));
  f_owner_ex thread = {F_OWNER_TID, gettid()};
  SYS(fcntl(pair[0], F_SETOWN_EX, &thread));
  SYS(fcntl(pair[0], F_SETSIG, SIGRTMIN + 4));
  SYS(fcntl(pair[0], F_SETFL, O_ASYNC));
  SYS(fcntl(group[0], F_SETOWN, -getpgrp()));
  checkpoint_here();

  CHECK_EQ(SYS(fcntl(pipes[0], F_GETOWN)), getpid());
  CHECK_EQ(SYS(fcntl(pipes[0], F_GETSIG)), SIGRTMIN + 4);
  f_owner_ex found = {};
  SYS(fcntl(pair[0], F_GETOWN_EX, &found));
  CHECK_EQ(found.type, F_OWNER_TID);
  CHECK_EQ(found.pid, gettid());
  SYS(fcntl(group[0], F_GETOWN_EX, &found));
  CHECK_EQ(found.type, F_OWNER_PGRP);
  CHECK_EQ(found.pid, getpgrp());
  CHECK_EQ(SYS(write(pipes[1], "x", 1)), 1);
  for (int i = 0; !got_signal && i < 1000; ++i) pause_ms(1);
  CHECK_EQ(got_signal, SIGRTMIN + 4);
  CHECK_EQ(got_fd, pipes[0]);
  got_signal = 0;
  CHECK_EQ(SYS(write(pair[1], "x", 1)), 1);
  for (int i = 0; !got_signal && i < 1000; ++i) pause_ms(1);
  CHECK_EQ(got_signal, SIGRTMIN + 4);
  CHECK_EQ(got_fd, pair[0]);
  done();
}
