// Processes that fork, write and end all the time while saves are taken: memory of each generation
// is right.
#include <sys/mman.h>

#include "support/program.h"

static constexpr size_t kSize = 256 * 1024;

int main() {
  auto* memory = static_cast<uint8_t*>(
      mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  uint64_t generation = 0;
  auto one_generation = [&] {
    fill(memory, kSize, ++generation);
    pid_t child = SYS(fork());
    if (child == 0) {
      check_filled(memory, kSize, generation, "what a child inherited");
      memset(memory, 0xee, kSize);
      pid_t grandchild = SYS(fork());
      if (grandchild == 0) _exit(memory[kSize / 2] == 0xee ? 42 : 1);
      int status = 0;
      SYS(waitpid(grandchild, &status, 0));
      if (status != 42 << 8) FAIL("a grandchild ended with 0x%x", status);
      _exit(int(generation % 200));
    }
    int status = 0;
    CHECK_EQ(SYS(waitpid(child, &status, 0)), child);
    CHECK_EQ(status, int(generation % 200) << 8);
    check_filled(memory, kSize, generation, "the parent's memory");
  };
  for (int round = 0; round < 3; ++round) {
    one_generation();
    checkpoint_here(one_generation);
  }
  done();
}
