// A sparse mapping of 4 GiB with a few written pages: they come back, and the others stay
// unallocated.
#include <sys/mman.h>

#include "support/program.h"

static constexpr size_t kSize = 4UL << 30, kStep = 37UL << 20;

static long resident_kb() { return atol(test::proc_line("/proc/self/status", "VmRSS:")); }

int main() {
  auto* memory = static_cast<uint8_t*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  CHECK(memory != MAP_FAILED);
  madvise(memory, kSize, MADV_NOHUGEPAGE);
  for (size_t at = 0; at + 8 <= kSize; at += kStep) memcpy(memory + at, &at, 8);
  memcpy(memory + kSize - 8, "the end", 8);
  volatile uint8_t read_only_touch = memory[5 * 4096];  // maps the zero page
  CHECK_EQ(read_only_touch, 0);
  long before = resident_kb();
  checkpoint_here();
  long after = resident_kb();
  if (after > before + 8192) FAIL("resident memory grew from %ld to %ld kB", before, after);
  for (size_t at = 0; at + 8 <= kSize; at += kStep) {
    size_t found;
    memcpy(&found, memory + at, 8);
    CHECK_EQ(found, at);
    CHECK_EQ(memory[at + 4096], 0);
  }
  CHECK_TEXT(reinterpret_cast<char*>(memory + kSize - 8), "the end");
  done();
}
