// memfds: content, seals, size, offset, sharing between mappings, descriptors and processes.
#include <sys/mman.h>
#include <sys/stat.h>

#include "support/program.h"

static constexpr size_t kSize = 10 * 4096 + 123;

int main() {
  int fd = SYS(memfd_create("plain", MFD_CLOEXEC));
  SYS(ftruncate(fd, kSize));
  auto* mapped =
      static_cast<uint8_t*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  fill(mapped, kSize, 1);
  SYS(lseek(fd, 777, SEEK_SET));
  int sealed = SYS(memfd_create("sealed", MFD_ALLOW_SEALING));
  CHECK_EQ(SYS(write(sealed, "unchangeable", 13)), 13);
  SYS(fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
  auto* view = static_cast<char*>(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, sealed, 0));
  int sparse = SYS(memfd_create("sparse", 0));
  SYS(ftruncate(sparse, 1L << 33));
  CHECK_EQ(SYS(pwrite(sparse, "far", 3, (1L << 32) + 5)), 3);
  pid_t child = SYS(fork());
  if (child == 0) {
    await_mark("ask");
    check_filled(mapped, kSize, 2, "the child's view");
    CHECK_EQ(SYS(lseek(fd, 0, SEEK_CUR)), 778);
    mapped[0] = 0xaa;
    _exit(0);
  }
  checkpoint_here();

  check_filled(mapped, kSize, 1, "the memfd");
  struct stat status;
  SYS(fstat(fd, &status));
  CHECK_EQ(status.st_size, kSize);
  uint8_t byte = 0, expected = mapped[777];
  CHECK_EQ(SYS(read(fd, &byte, 1)), 1);
  CHECK_EQ(byte, expected);
  fill(mapped, kSize, 2);
  mark("ask");
  check_child(child);
  CHECK_EQ(mapped[0], 0xaa);
  CHECK_EQ(SYS(fcntl(fd, F_GET_SEALS)), F_SEAL_SEAL);
  CHECK_EQ(SYS(fcntl(sealed, F_GET_SEALS)), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  CHECK(ftruncate(sealed, 1) == -1 && errno == EPERM);
  CHECK(write(sealed, "x", 1) == -1 && errno == EPERM);
  CHECK_TEXT(view, "unchangeable");
  char far[4] = {};
  CHECK_EQ(SYS(pread(sparse, far, 3, (1L << 32) + 5)), 3);
  CHECK_TEXT(far, "far");
  SYS(fstat(sparse, &status));
  CHECK_EQ(status.st_size, 1L << 33);
  CHECK(status.st_blocks < 100);  // still sparse
  char target[64] = {}, link_name[64];
  snprintf(link_name, sizeof link_name, "/proc/self/fd/%d", sealed);
  SYS(readlink(link_name, target, sizeof target - 1));
  CHECK_TEXT(target, "/memfd:sealed (deleted)");
  CHECK_EQ(SYS(fcntl(fd, F_GETFD)), FD_CLOEXEC);
  done();
}
