// Memory that the kernel backs with transparent huge pages, wholly and partly written.

// test: trackers

#include <sys/mman.h>

#include "support/program.h"

static constexpr size_t kHuge = 2 << 20, kCount = 6;

int main() {
  auto* raw = static_cast<uint8_t*>(mmap(nullptr, (kCount + 1) * kHuge, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto* memory =
      reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(raw) + kHuge - 1) & ~(kHuge - 1));
  madvise(memory, kCount * kHuge, MADV_HUGEPAGE);
  for (size_t i = 0; i < kCount * kHuge; i += 4096) memcpy(memory + i, &i, sizeof i);
  memset(memory + 2 * kHuge, 0, kHuge);                     // all zero, yet present
  madvise(memory + 3 * kHuge + 4096, 4096, MADV_DONTNEED);  // splits one
  uint64_t step = 0;
  static uint64_t model[kCount * 512];
  auto change = [&] {
    size_t page = test::mix(++step) % (kCount * 512);
    model[page] = step;
    memcpy(memory + page * 4096 + 2000, &step, 8);
  };
  checkpoint_here(change);
  checkpoint_here(change);
  for (size_t page = 0; page < kCount * 512; ++page) {
    uint64_t found[2];
    size_t at = page * 4096;
    memcpy(&found[0], memory + at, 8);
    memcpy(&found[1], memory + at + 2000, 8);
    bool zero = at / kHuge == 2 || at == 3 * kHuge + 4096;
    if (found[0] != (zero ? 0 : at)) FAIL("page %zu starts with %lu", page, found[0]);
    CHECK_EQ(found[1], model[page]);
  }
  done();
}
