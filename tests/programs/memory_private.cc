// Private anonymous memory that changes all the time: a page that a save forgot differs from its
// model afterwards.

// test: trackers

#include <sys/mman.h>

#include "support/program.h"

static constexpr size_t kPages = 2048, kPage = 4096;

int main() {
  auto* memory = static_cast<uint8_t*>(
      mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  static uint64_t version[kPages];  // the model: which pattern a page holds; 0 is untouched
  uint64_t step = 0;
  auto change = [&] {
    for (int i = 0; i < 20; ++i) {
      size_t page = test::mix(++step) % kPages;
      if (step % 97 == 0) {  // given back: reads as zeroes
        madvise(memory + page * kPage, kPage, MADV_DONTNEED);
        version[page] = 0;
        continue;
      }
      version[page] = step;
      memcpy(memory + page * kPage + step % 4000, &step, 8);
      memcpy(memory + page * kPage + (step * 7) % 4000, &step, 8);
      memcpy(memory + page * kPage + 4080, &step, 8);
    }
  };
  auto verify = [&] {
    for (size_t page = 0; page < kPages; ++page) {
      uint64_t found[2];
      memcpy(&found[0], memory + page * kPage + 4080, 8);
      memcpy(&found[1], memory + page * kPage + (version[page] * 7) % 4000, 8);
      if (found[0] != version[page] || (version[page] && found[1] != version[page]))
        FAIL("page %zu holds pattern %lu/%lu, not %lu", page, found[0], found[1], version[page]);
      if (version[page] == 0)
        for (size_t i = 0; i < kPage; ++i)
          if (memory[page * kPage + i]) FAIL("page %zu, untouched, is not zero at %zu", page, i);
    }
  };
  for (int i = 0; i < 30; ++i) change();
  for (int round = 0; round < 3; ++round) {
    checkpoint_here(change);
    verify();
    change();
  }
  SYS(munmap(memory, kPages * kPage));
  done();
}
