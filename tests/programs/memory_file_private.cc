// A private mapping of a file: written pages are ours, the others still show the file.
#include <sys/mman.h>
#include <sys/stat.h>

#include <vector>

#include "support/program.h"

static constexpr size_t kPages = 64, kSize = kPages * 4096 - 1000;

int main() {
  std::vector<uint8_t> content(kSize);
  fill(content.data(), kSize, 1);
  int fd = SYS(open(test::path("data"), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  CHECK_EQ(SYS(write(fd, content.data(), kSize)), kSize);
  close(fd);
  fd = SYS(open(test::path("data"), O_RDONLY | O_CLOEXEC));
  auto* mapped =
      static_cast<uint8_t*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
  auto* part = static_cast<uint8_t*>(mmap(nullptr, 3 * 4096, PROT_READ, MAP_PRIVATE, fd, 7 * 4096));
  close(fd);
  for (size_t page = 0; page < kPages; page += 5) mapped[page * 4096 + 11] ^= 0x5a;
  SYS(mprotect(mapped + 10 * 4096, 4096, PROT_READ));
  uint8_t beyond = mapped[kSize + 1];
  checkpoint_here();

  for (size_t i = 0; i < kSize; ++i) {
    bool written = i % 4096 == 11 && i / 4096 % 5 == 0;
    uint8_t expected = uint8_t(content[i] ^ (written ? 0x5a : 0));
    if (mapped[i] != expected) FAIL("byte %zu is 0x%02x, not 0x%02x", i, mapped[i], expected);
  }
  CHECK(memcmp(part, content.data() + 7 * 4096, 3 * 4096) == 0);
  CHECK_EQ(mapped[kSize + 1], beyond);
  mapped[6 * 4096] = 0x77;  // still private
  fd = SYS(open(test::path("data"), O_RDONLY | O_CLOEXEC));
  uint8_t on_disk = 0;
  CHECK_EQ(SYS(pread(fd, &on_disk, 1, 6 * 4096)), 1);
  CHECK_EQ(on_disk, content[6 * 4096]);
  CHECK_EQ(SYS(pread(fd, &on_disk, 1, 11)), 1);
  CHECK_EQ(on_disk, content[11]);
  done();
}
