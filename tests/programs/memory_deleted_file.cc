// Mappings of a file that has been deleted, shared between processes and private.
#include <sys/mman.h>

#include "support/program.h"

static constexpr size_t kSize = 8 * 4096;

int main() {
  int fd = SYS(open(test::path("gone"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  SYS(ftruncate(fd, kSize));
  auto* shared =
      static_cast<uint8_t*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  auto* private_view =
      static_cast<uint8_t*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
  SYS(unlink(test::path("gone")));
  close(fd);
  fill(shared, kSize, 9);
  private_view[4096] = 0x33;
  pid_t child = SYS(fork());
  if (child == 0) {
    await_mark("changed");
    check_filled(shared, kSize, 10, "the child's view");
    shared[0] = 0x99;
    _exit(0);
  }
  checkpoint_here();
  check_filled(shared, kSize, 9, "the shared view");
  check_filled(private_view, 4096, 9, "the private view");
  CHECK_EQ(private_view[4096], 0x33);
  fill(shared, kSize, 10);
  mark("changed");
  check_child(child);
  CHECK_EQ(shared[0], 0x99);
  done();
}
