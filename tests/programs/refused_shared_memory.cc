// A process that shares its address space with another one (CLONE_VM without CLONE_THREAD):
// refused, named, unharmed.

// test: refused

#include <sched.h>
#include <sys/mman.h>

#include "support/program.h"

static volatile int counter = 0;

int main() {
  constexpr size_t kStack = 1 << 20;
  auto* stack = static_cast<char*>(
      mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  pid_t child = SYS(clone(
      [](void*) {
        while (counter < 100) pause_ms(1);
        return 17;
      },
      stack + kStack, CLONE_VM | SIGCHLD, nullptr));
  checkpoint_here();
  counter = 100;
  int status = 0;
  CHECK_EQ(SYS(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 17 << 8);
  done();
}
