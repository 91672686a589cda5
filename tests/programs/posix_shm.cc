// POSIX shared memory, by name and after shm_unlink.
#include <sys/mman.h>
#include <sys/stat.h>

#include "support/program.h"

static constexpr size_t kSize = 6 * 4096;

static uint8_t* map(int fd) {
  void* address = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(address != MAP_FAILED);
  return static_cast<uint8_t*>(address);
}

int main() {
  char name[64], lost_name[80];
  snprintf(name, sizeof name, "/perdure-test-%d-%ld", getpid(), now_ns() % 1000000);
  snprintf(lost_name, sizeof lost_name, "%s-lost", name);
  int fd = SYS(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
  int lost = SYS(shm_open(lost_name, O_RDWR | O_CREAT | O_EXCL, 0600));
  SYS(ftruncate(fd, kSize));
  SYS(ftruncate(lost, kSize));
  uint8_t *mapped = map(fd), *lost_mapped = map(lost);
  SYS(shm_unlink(lost_name));
  fill(mapped, kSize, 1);
  fill(lost_mapped, kSize, 2);
  pid_t child = SYS(fork());
  if (child == 0) {
    await_mark("ask");
    check_filled(mapped, kSize, 3, "the child's view");
    check_filled(lost_mapped, kSize, 4, "the child's view of the unlinked one");
    _exit(0);
  }
  checkpoint_here();

  check_filled(mapped, kSize, 1, "the named object");
  check_filled(lost_mapped, kSize, 2, "the unlinked object");
  fill(mapped, kSize, 3);
  fill(lost_mapped, kSize, 4);
  mark("ask");
  check_child(child);
  int again = SYS(shm_open(name, O_RDWR, 0));
  uint8_t* view = map(again);
  check_filled(view, kSize, 3, "the object opened again by name");
  uint8_t byte = 0;
  CHECK_EQ(SYS(pread(lost, &byte, 1, 100)), 1);
  CHECK_EQ(byte, lost_mapped[100]);
  SYS(shm_unlink(name));
  done();
}
