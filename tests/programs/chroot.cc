// A process whose root is a folder keeps that root and its working directory in it.

// test: root

#include <sys/stat.h>

#include "support/program.h"

int main() {
  SYS(mkdir(test::path("inner"), 0755));
  struct stat outside, inside;
  SYS(stat(test::directory, &outside));
  SYS(chroot(test::directory));
  SYS(chdir("/inner"));
  strcpy(test::directory, "/");
  checkpoint_here();
  SYS(stat("/", &inside));
  CHECK(inside.st_ino == outside.st_ino && inside.st_dev == outside.st_dev);
  char where[64];
  CHECK(getcwd(where, sizeof where));
  CHECK_TEXT(where, "/inner");
  CHECK(access("/etc/passwd", F_OK) == -1);
  SYS(stat("..", &inside));
  CHECK_EQ(inside.st_ino, outside.st_ino);
  done();
}
