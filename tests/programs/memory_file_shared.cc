// Shared mappings of a file: what is written through them reaches the file and every other mapping.
#include <sys/mman.h>

#include "support/program.h"

static constexpr size_t kSize = 16 * 4096;

int main() {
  int fd = SYS(open(test::path("data"), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  SYS(ftruncate(fd, kSize));
  auto* writable =
      static_cast<uint8_t*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  auto* readable = static_cast<uint8_t*>(mmap(nullptr, kSize, PROT_READ, MAP_SHARED, fd, 0));
  auto* private_view = static_cast<uint8_t*>(mmap(nullptr, kSize, PROT_READ, MAP_PRIVATE, fd, 0));
  int read_only = SYS(open(test::path("data"), O_RDONLY | O_CLOEXEC));
  auto* never_writable =
      static_cast<uint8_t*>(mmap(nullptr, kSize, PROT_READ, MAP_SHARED, read_only, 0));
  fill(writable, kSize, 6);
  SYS(msync(writable, kSize, MS_SYNC));
  checkpoint_here();

  check_filled(readable, kSize, 6, "read-only view");
  fill(writable, kSize, 7);
  check_filled(readable, kSize, 7, "read-only view after a write");
  check_filled(never_writable, kSize, 7, "view of a read-only descriptor");
  check_filled(private_view, kSize, 7, "private view");
  CHECK(mprotect(never_writable, kSize, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
  SYS(mprotect(readable, kSize, PROT_READ | PROT_WRITE));
  readable[5] = 0x42;
  uint8_t byte = 0;
  CHECK_EQ(SYS(pread(fd, &byte, 1, 5)), 1);
  CHECK_EQ(byte, 0x42);
  done();
}
