// Files that are deleted but open: content, holes, offset and mode survive, and they stay deleted.
#include <sys/stat.h>

#include "support/program.h"

static constexpr size_t kSize = 100'000;

int main() {
  static uint8_t content[kSize], found[kSize];
  fill(content, kSize, 12);
  int fd = SYS(open(test::path("gone"), O_RDWR | O_CREAT, 0640));
  CHECK_EQ(SYS(write(fd, content, kSize)), kSize);
  SYS(ftruncate(fd, 10 << 20));  // a hole behind it
  SYS(lseek(fd, 500, SEEK_SET));
  SYS(unlink(test::path("gone")));
  mark("gone");  // another file now has the name
  int read_only = SYS(open(test::path("read"), O_RDWR | O_CREAT, 0600));
  CHECK_EQ(SYS(write(read_only, "read me", 8)), 8);
  close(read_only);
  read_only = SYS(open(test::path("read"), O_RDONLY));
  SYS(unlink(test::path("read")));
  int unnamed = SYS(open(test::directory, O_TMPFILE | O_RDWR, 0600));
  CHECK_EQ(SYS(write(unnamed, "no name", 8)), 8);
  // One name is gone, the other is not: this file is not deleted.
  int linked = SYS(open(test::path("one"), O_RDWR | O_CREAT, 0600));
  CHECK_EQ(SYS(write(linked, "linked", 7)), 7);
  char other[300];
  snprintf(other, sizeof other, "%s", test::path("two"));
  SYS(link(test::path("one"), other));
  checkpoint_here();

  struct stat status;
  SYS(fstat(fd, &status));
  CHECK_EQ(status.st_nlink, 0);
  CHECK_EQ(status.st_size, 10 << 20);
  CHECK_EQ(status.st_mode & 0777, 0640);
  CHECK_EQ(SYS(lseek(fd, 0, SEEK_CUR)), 500);
  CHECK_EQ(SYS(pread(fd, found, kSize, 0)), kSize);
  check_filled(found, kSize, 12, "the deleted file");
  CHECK_EQ(SYS(pread(fd, found, 100, 5 << 20)), 100);
  for (int i = 0; i < 100; ++i) CHECK_EQ(found[i], 0);
  char text[16] = {};
  CHECK_EQ(SYS(read(read_only, text, 8)), 8);
  CHECK_TEXT(text, "read me");
  CHECK(write(read_only, "x", 1) == -1 && errno == EBADF);
  CHECK_EQ(SYS(pread(unnamed, text, 8, 0)), 8);
  CHECK_TEXT(text, "no name");
  SYS(fstat(unnamed, &status));
  CHECK_EQ(status.st_nlink, 0);
  SYS(stat(test::path("gone"), &status));
  CHECK_EQ(status.st_size, 0);
  SYS(stat(other, &status));
  CHECK_EQ(status.st_nlink, 2);
  CHECK_EQ(SYS(pwrite(linked, "L", 1, 0)), 1);
  int check = SYS(open(other, O_RDONLY));
  CHECK_EQ(SYS(read(check, text, 7)), 7);
  CHECK_TEXT(text, "Linked");
  done();
}
