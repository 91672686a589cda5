// Queued signals with numbers arrive exactly once and in order while saves are taken.
#include <signal.h>

#include "support/program.h"

static volatile uint64_t received = 0;
static void handler(int, siginfo_t* info, void*) {
  if (uint64_t(info->si_value.sival_int) != received + 1)
    FAIL("signal %d came after %lu", info->si_value.sival_int, received);
  received = received + 1;
}

int main() {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  SYS(sigaction(SIGRTMIN + 8, &action, nullptr));
  pid_t target = getpid();
  pid_t sender = SYS(fork());
  if (sender == 0) {
    for (int i = 1; !test::marked("stop"); ++i) {
      while (sigqueue(target, SIGRTMIN + 8, sigval{.sival_int = i}) != 0) {
        if (errno != EAGAIN) FAIL("sigqueue: %s", strerror(errno));
        pause_ms(1);
      }
      if (i % 50 == 0) pause_ms(1);
    }
    _exit(0);
  }
  uint64_t spins = 0, sum = 0;
  for (int round = 0; round < 3; ++round)
    checkpoint_here([&] {
      for (int i = 0; i < 20000; ++i) sum += test::mix(++spins);
    });
  mark("stop");
  check_child(sender);
  uint64_t check = 0;
  for (uint64_t i = 1; i <= spins; ++i) check += test::mix(i);
  CHECK_EQ(sum, check);
  CHECK(received > 0);
  done();
}
