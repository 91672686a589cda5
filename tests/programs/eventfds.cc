// eventfds: counter, semaphore mode, a full one, shared between processes.
#include <sys/eventfd.h>

#include "support/program.h"

int main() {
  int plain = SYS(eventfd(7, EFD_NONBLOCK)),
      semaphore = SYS(eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC));
  int full = SYS(eventfd(0, EFD_NONBLOCK)), empty = SYS(eventfd(0, EFD_NONBLOCK)),
      shared = SYS(eventfd(0, 0));
  uint64_t value = 0xfffffffffffffffeULL;
  CHECK_EQ(SYS(write(full, &value, 8)), 8);
  value = 0x100000000ULL;
  CHECK_EQ(SYS(write(plain, &value, 8)), 8);
  pid_t child = SYS(fork());
  if (child == 0) {
    uint64_t got = 0;
    CHECK_EQ(SYS(read(shared, &got, 8)), 8);
    _exit(int(got));
  }
  checkpoint_here();
  CHECK_EQ(SYS(read(plain, &value, 8)), 8);
  CHECK_EQ(value, 0x100000007LL);
  for (int i = 0; i < 3; ++i) {
    CHECK_EQ(SYS(read(semaphore, &value, 8)), 8);
    CHECK_EQ(value, 1);
  }
  CHECK(read(semaphore, &value, 8) == -1 && errno == EAGAIN);
  CHECK(read(empty, &value, 8) == -1 && errno == EAGAIN);
  value = 1;
  CHECK(write(full, &value, 8) == -1 && errno == EAGAIN);
  CHECK_EQ(SYS(read(full, &value, 8)), 8);
  CHECK_EQ(value, -2LL);
  CHECK_EQ(fcntl(semaphore, F_GETFD), FD_CLOEXEC);
  value = 61;
  CHECK_EQ(SYS(write(shared, &value, 8)), 8);
  int status = 0;
  SYS(waitpid(child, &status, 0));
  CHECK_EQ(status, 61 << 8);
  done();
}
