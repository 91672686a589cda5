// Pages of private mappings of files that the program has overwritten with zeros are zeros, not
// what the file holds; those that it gave back show the file again.
#include <sys/mman.h>

#include "support/program.h"

static constexpr size_t kPage = 4096, kPages = 16;

// In the program's own file, and nothing but sevens there.
#define SEVEN8 7, 7, 7, 7, 7, 7, 7, 7
#define SEVEN64 SEVEN8, SEVEN8, SEVEN8, SEVEN8, SEVEN8, SEVEN8, SEVEN8, SEVEN8
#define SEVEN512 SEVEN64, SEVEN64, SEVEN64, SEVEN64, SEVEN64, SEVEN64, SEVEN64, SEVEN64
#define SEVEN4096 SEVEN512, SEVEN512, SEVEN512, SEVEN512, SEVEN512, SEVEN512, SEVEN512, SEVEN512
alignas(kPage) static volatile uint8_t data[4 * kPage] = {SEVEN4096, SEVEN4096, SEVEN4096,
                                                          SEVEN4096};

static uint8_t* mapped;
static uint8_t expected[kPages];  // of each page's bytes

static void set_page(size_t page, uint8_t value) {
  memset(mapped + page * kPage, value, kPage);
  expected[page] = value;
}

static void drop_page(size_t page) {
  SYS(madvise(mapped + page * kPage, kPage, MADV_DONTNEED));
  expected[page] = 9;
}

static void check_pages() {
  for (size_t at = 0; at < kPages * kPage; ++at) {
    if (mapped[at] != expected[at / kPage])
      FAIL("byte %zu of the mapping is %d, not %d", at, mapped[at], expected[at / kPage]);
  }
  for (size_t at = 0; at < sizeof data; ++at) {
    const uint8_t wanted = at < 2 * kPage ? 0 : 7;
    if (data[at] != wanted) FAIL("byte %zu of the data is %d, not %d", at, data[at], wanted);
  }
}

int main() {
  uint8_t content[kPages * kPage];
  memset(content, 9, sizeof content);
  memset(expected, 9, sizeof expected);
  int fd = SYS(open(test::path("nines"), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  CHECK_EQ(SYS(write(fd, content, sizeof content)), sizeof content);
  close(fd);
  fd = SYS(open(test::path("nines"), O_RDONLY | O_CLOEXEC));
  void* memory = mmap(nullptr, sizeof content, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  CHECK(memory != MAP_FAILED);
  mapped = static_cast<uint8_t*>(memory);
  close(fd);
  for (size_t at = 0; at < 2 * kPage; ++at) data[at] = 0;
  set_page(1, 0);
  set_page(2, 5);
  set_page(3, 0);
  checkpoint_here();
  check_pages();

  set_page(2, 0);  // stored before, zeros now
  set_page(3, 0);  // again
  set_page(7, 0);
  drop_page(1);
  checkpoint_here();
  check_pages();

  pid_t child = SYS(fork());
  if (child == 0) {
    set_page(8, 0);
    drop_page(7);
    test::await_go();
    check_pages();
    _exit(0);
  }
  set_page(9, 0);
  checkpoint_here();
  check_pages();
  check_child(child);
  done();
}
