// The alternate signal stack, in use and not in use; a checkpoint inside a handler that another one
// interrupted.
#include <signal.h>

#include <thread>

#include "support/program.h"

static char stacks[2][65536] __attribute__((aligned(64)));
static volatile int depth = 0;

static bool on(const char* stack, const void* address) {
  return address >= stack && address < stack + sizeof stacks[0];
}

static void inner(int) {
  int here = 0;
  CHECK(on(stacks[0], &here));
  depth = depth + 1;
  stack_t state;
  sigaltstack(nullptr, &state);
  CHECK(state.ss_flags & SS_ONSTACK);
  checkpoint_here();
  sigaltstack(nullptr, &state);
  CHECK(state.ss_flags & SS_ONSTACK);
  CHECK(on(stacks[0], &here));
  CHECK_EQ(state.ss_size, sizeof stacks[0]);
}
static void outer(int) {
  sigset_t before, after;
  sigprocmask(SIG_BLOCK, nullptr, &before);
  depth = depth + 1;
  raise(SIGUSR2);
  sigprocmask(SIG_BLOCK, nullptr, &after);
  CHECK(memcmp(&before, &after, 8) == 0);
}

static volatile int thread_ready = 0, thread_go = 0;
static void on_own_stack(int) {
  int here = 0;
  CHECK(on(stacks[1], &here));
  thread_go = 2;
}

int main() {
  stack_t stack = {stacks[0], 0, sizeof stacks[0]};
  SYS(sigaltstack(&stack, nullptr));
  struct sigaction action = {};
  action.sa_flags = SA_ONSTACK;
  action.sa_handler = outer;
  SYS(sigaction(SIGUSR1, &action, nullptr));
  action.sa_handler = inner;
  SYS(sigaction(SIGUSR2, &action, nullptr));
  action.sa_handler = on_own_stack;
  SYS(sigaction(SIGHUP, &action, nullptr));

  std::thread thread([] {
    stack_t own = {stacks[1], 0, sizeof stacks[1]};
    SYS(sigaltstack(&own, nullptr));
    thread_ready = 1;
    while (!thread_go) pause_ms(1);
    pthread_kill(pthread_self(), SIGHUP);
    CHECK_EQ(thread_go, 2);
  });
  while (!thread_ready) pause_ms(1);
  raise(SIGUSR1);
  CHECK_EQ(depth, 2);
  stack_t now;
  sigaltstack(nullptr, &now);
  CHECK(now.ss_sp == stacks[0] && now.ss_flags == 0);
  thread_go = 1;
  thread.join();
  done();
}
