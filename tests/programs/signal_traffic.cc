// Queued signals with numbers arrive exactly once and in order while saves are taken.
#include <signal.h>
#include <sys/mman.h>

#include "support/program.h"

// More than 300 signals that wait are not saved: on a busy machine the sender would run ahead.
static constexpr uint64_t kWaitingMax = 100;
static volatile uint64_t* received;  // in memory that both share

static void handler(int, siginfo_t* info, void*) {
  if (uint64_t(info->si_value.sival_int) != *received + 1)
    FAIL("signal %d came after %lu", info->si_value.sival_int, *received);
  *received = *received + 1;
}

int main() {
  void* shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  received = static_cast<uint64_t*>(shared);
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
      while (uint64_t(i) > *received + kWaitingMax && !test::marked("stop")) pause_ms(1);
    }
    _exit(0);
  }
  uint64_t spins = 0, sum = 0;
  for (int round = 0; round < 3; ++round)
    checkpoint_here([&] {
      for (int i = 0; i < 20000; ++i) sum += test::mix(++spins);
    });
  while (*received == 0)
    pause_ms(1);  // a program that nobody holds up is done before the sender begins
  mark("stop");
  check_child(sender);
  uint64_t check = 0;
  for (uint64_t i = 1; i <= spins; ++i) check += test::mix(i);
  CHECK_EQ(sum, check);
  done();
}
