// The heap: brk stays where it was, grows and shrinks afterwards; malloc's blocks are whole.
#include <malloc.h>

#include <vector>

#include "support/program.h"

int main() {
  std::vector<char*> blocks;
  for (int i = 0; i < 2000; ++i) {
    size_t size = 16 + test::mix(i) % 3000;
    blocks.push_back(static_cast<char*>(malloc(size)));
    fill(blocks.back(), 16, i);
    if (i % 3 == 0) {
      free(blocks[i / 2]);
      blocks[i / 2] = static_cast<char*>(malloc(40));
      fill(blocks[i / 2], 16, i / 2);
    }
  }
  char* mine = static_cast<char*>(sbrk(3 * 4096 + 100));
  fill(mine, 3 * 4096 + 100, 99);
  void* top = sbrk(0);
  checkpoint_here();

  CHECK(sbrk(0) == top);
  check_filled(mine, 3 * 4096 + 100, 99, "memory above brk");
  char* more = static_cast<char*>(sbrk(1 << 20));
  CHECK(more == top);
  for (int i = 0; i < 1 << 20; i += 4096) CHECK_EQ(more[i], 0);
  fill(more, 1 << 20, 5);
  CHECK(sbrk(-(1 << 20)) == more + (1 << 20));
  CHECK(sbrk(0) == top);
  for (size_t i = 0; i < blocks.size(); ++i) {
    check_filled(blocks[i], 16, i, "malloc'ed block");
    free(blocks[i]);
  }
  free(malloc(50 << 20));
  bool labelled = false;
  FILE* maps = fopen("/proc/self/maps", "re");
  for (char line[512]; fgets(line, sizeof line, maps);)
    labelled |= strstr(line, "[heap]") != nullptr;
  fclose(maps);
  CHECK(labelled);
  done();
}
