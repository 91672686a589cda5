// /dev/null, zero, full, random and urandom.
#include <sys/stat.h>

#include "support/program.h"

int main() {
  const char* paths[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
  int fds[5];
  for (int i = 0; i < 5; ++i)
    fds[i] = SYS(open(paths[i], i % 2 ? O_RDWR | O_CLOEXEC : O_RDWR | O_NONBLOCK));
  checkpoint_here();
  for (int i = 0; i < 5; ++i) {
    struct stat held, named;
    SYS(fstat(fds[i], &held));
    SYS(stat(paths[i], &named));
    CHECK_EQ(held.st_rdev, named.st_rdev);
    CHECK_EQ(fcntl(fds[i], F_GETFD), i % 2 ? FD_CLOEXEC : 0);
    CHECK_EQ(fcntl(fds[i], F_GETFL) & (O_ACCMODE | O_NONBLOCK),
             i % 2 ? O_RDWR : O_RDWR | O_NONBLOCK);
  }
  uint8_t block[64];
  memset(block, 1, sizeof block);
  CHECK_EQ(SYS(read(fds[0], block, sizeof block)), 0);
  CHECK_EQ(SYS(write(fds[0], block, sizeof block)), sizeof block);
  CHECK_EQ(SYS(read(fds[1], block, sizeof block)), sizeof block);
  for (uint8_t byte : block) CHECK_EQ(byte, 0);
  CHECK(write(fds[2], block, 1) == -1 && errno == ENOSPC);
  for (int i : {3, 4}) {
    CHECK_EQ(SYS(read(fds[i], block, sizeof block)), sizeof block);
    int sum = 0;
    for (uint8_t byte : block) sum += byte;
    CHECK(sum != 0);
  }
  done();
}
