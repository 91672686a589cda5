// A process that made a network namespace of its own inside the group: refused, named, unharmed.

// test: refused

#include <sched.h>
#include <sys/stat.h>

#include "support/program.h"

int main() {
  struct stat before, after;
  SYS(unshare(CLONE_NEWNET));
  SYS(stat("/proc/self/ns/net", &before));
  checkpoint_here();
  SYS(stat("/proc/self/ns/net", &after));
  CHECK_EQ(before.st_ino, after.st_ino);
  done();
}
