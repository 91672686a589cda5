// A process that goes on after its main thread ended, so that it looks like a zombie: refused,
// named, unharmed.

// test: refused

#include <pthread.h>

#include "support/program.h"

static void* go_on(void*) {
  while (*test::proc_line("/proc/self/status", "State:") != 'Z') pause_ms(1);
  checkpoint_here();
  done();
}

int main() {
  pthread_t other;
  CHECK_EQ(pthread_create(&other, nullptr, go_on, nullptr), 0);
  pthread_exit(nullptr);
}
