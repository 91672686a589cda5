// Mappings that come, go, move and change protection while saves are taken.

// test: trackers

#include <sys/mman.h>

#include <vector>

#include "support/program.h"

struct Range {
  uint8_t* address;
  size_t pages;
  uint64_t seed;
};

static void stamp(const Range& range) {
  for (size_t page = 0; page < range.pages; ++page) {
    uint64_t value = range.seed + page;
    memcpy(range.address + page * 4096, &value, 8);
  }
}
static void verify(const Range& range) {
  for (size_t page = 0; page < range.pages; ++page) {
    uint64_t value;
    memcpy(&value, range.address + page * 4096, 8);
    if (value != range.seed + page)
      FAIL("page %zu of a range of %zu holds %lu, not %lu", page, range.pages, value,
           range.seed + page);
  }
}

int main() {
  std::vector<Range> ranges;
  uint64_t step = 0;
  auto change = [&] {
    for (int i = 0; i < 5; ++i) {
      uint64_t random = test::mix(++step);
      size_t which = ranges.empty() ? 0 : random % ranges.size();
      if (ranges.size() < 20 || random % 3 == 0) {
        size_t pages = 1 + random / 100 % 30;
        void* address =
            mmap(nullptr, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(address != MAP_FAILED);
        ranges.push_back({static_cast<uint8_t*>(address), pages, step << 20});
        stamp(ranges.back());
      } else if (ranges.size() > 60 || random % 3 == 1) {
        verify(ranges[which]);
        SYS(munmap(ranges[which].address, ranges[which].pages * 4096));
        ranges[which] = ranges.back();
        ranges.pop_back();
      } else {
        Range& range = ranges[which];
        size_t pages = range.pages + 1 + random % 7;
        void* moved = mremap(range.address, range.pages * 4096, pages * 4096, MREMAP_MAYMOVE);
        if (moved == MAP_FAILED)
          FAIL("mremap of %zu pages at %p: %s", range.pages, static_cast<void*>(range.address),
               strerror(errno));
        range.address = static_cast<uint8_t*>(moved);
        verify(range);
        range.pages = pages;
        stamp(range);
        SYS(mprotect(range.address, pages * 4096, PROT_READ));
        SYS(mprotect(range.address, pages * 4096, PROT_READ | PROT_WRITE));
      }
    }
  };
  for (int i = 0; i < 50; ++i) change();
  for (int round = 0; round < 3; ++round) {
    checkpoint_here(change);
    for (const Range& range : ranges) verify(range);
  }
  done();
}
