// Locks on files: POSIX ranges, flock, and locks of open file descriptions.

// test: refusable

#include <sys/file.h>

#include "support/program.h"

static int create(const char* name) {
  return SYS(open(test::path(name), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
}
static struct flock range(short type, off_t start, off_t length) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = length;
  return lock;
}

// Whether another process may take a lock.
static bool free_for_others(const char* name, short type, off_t start, off_t length) {
  pid_t child = SYS(fork());
  if (child == 0) {
    struct flock wanted = range(type, start, length);
    int fd = create(name);
    _exit(fcntl(fd, F_OFD_SETLK, &wanted) == 0 ? 0 : 1);
  }
  int status = 0;
  SYS(waitpid(child, &status, 0));
  return status == 0;
}

int main() {
  int posix = create("posix"), flocked = create("flock"), description = create("description");
  struct flock write_lock = range(F_WRLCK, 100, 50), read_lock = range(F_RDLCK, 200, 0),
               own = range(F_WRLCK, 10, 20);
  SYS(fcntl(posix, F_SETLK, &write_lock));
  SYS(fcntl(posix, F_SETLK, &read_lock));
  SYS(flock(flocked, LOCK_EX));
  SYS(fcntl(description, F_OFD_SETLK, &own));
  auto check = [] {
    CHECK(!free_for_others("posix", F_RDLCK, 120, 1));
    CHECK(free_for_others("posix", F_WRLCK, 0, 100));
    CHECK(!free_for_others("posix", F_WRLCK, 5000, 1));
    CHECK(free_for_others("posix", F_RDLCK, 5000, 1));
    CHECK(!free_for_others("description", F_RDLCK, 29, 1));
    CHECK(free_for_others("description", F_WRLCK, 30, 1));
    int other = create("flock");
    CHECK(flock(other, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    close(other);
  };
  check();
  checkpoint_here();
  check();
  int copy = SYS(dup(flocked));
  SYS(flock(copy, LOCK_UN));  // a duplicate releases it
  int other = create("flock");
  SYS(flock(other, LOCK_SH | LOCK_NB));
  struct flock whole = range(F_UNLCK, 0, 0);
  SYS(fcntl(posix, F_SETLK, &whole));
  CHECK(free_for_others("posix", F_WRLCK, 0, 0));
  done();
}
