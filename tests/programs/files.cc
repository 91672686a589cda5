// Regular files: offset, flags, append mode, O_PATH, folders and their position.
#include <dirent.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "support/program.h"

static std::vector<std::string> names_from(DIR* folder) {
  std::vector<std::string> names;
  while (dirent* entry = readdir(folder)) names.push_back(entry->d_name);
  return names;
}

int main() {
  int writer = SYS(open(test::path("data"), O_RDWR | O_CREAT, 0644));
  CHECK_EQ(SYS(write(writer, "0123456789abcdef", 16)), 16);
  SYS(lseek(writer, 5, SEEK_SET));
  int append = SYS(open(test::path("data"), O_WRONLY | O_APPEND | O_NONBLOCK));
  int reader = SYS(open(test::path("data"), O_RDONLY | O_NOATIME | O_CLOEXEC));
  SYS(lseek(reader, 1L << 40, SEEK_SET));  // beyond the end
  int sync = SYS(open(test::path("data"), O_WRONLY | O_DSYNC));
  int by_path = SYS(open(test::path("data"), O_PATH | O_CLOEXEC));
  SYS(mkdir(test::path("folder"), 0755));
  for (int i = 0; i < 300; ++i) {
    char name[64];
    snprintf(name, sizeof name, "folder/a rather long file name, number %d", i);
    mark(name);
  }
  DIR* folder = opendir(test::path("folder"));
  CHECK(folder != nullptr);
  int folder_fd = SYS(open(test::path("folder"), O_RDONLY | O_DIRECTORY));
  for (int i = 0; i < 20; ++i) CHECK(readdir(folder));
  char entries[1024];
  SYS(syscall(SYS_getdents64, folder_fd, entries, sizeof entries));
  off_t folder_offset = SYS(lseek(folder_fd, 0, SEEK_CUR));
  int flags[] = {fcntl(writer, F_GETFL), fcntl(append, F_GETFL),  fcntl(reader, F_GETFL),
                 fcntl(sync, F_GETFL),   fcntl(by_path, F_GETFL), fcntl(folder_fd, F_GETFL)};
  checkpoint_here();

  int fds[] = {writer, append, reader, sync, by_path, folder_fd};
  for (int i = 0; i < 6; ++i) CHECK_EQ(fcntl(fds[i], F_GETFL), flags[i]);
  char text[8] = {};
  CHECK_EQ(SYS(read(writer, text, 3)), 3);
  CHECK_TEXT(text, "567");
  CHECK_EQ(SYS(write(append, "tail", 4)), 4);
  CHECK_EQ(SYS(pread(writer, text, 6, 14)), 6);
  CHECK_TEXT(text, "eftail");
  CHECK_EQ(SYS(lseek(reader, 0, SEEK_CUR)), 1L << 40);
  CHECK(write(reader, "x", 1) == -1 && errno == EBADF);
  CHECK(read(by_path, text, 1) == -1 && errno == EBADF);
  struct stat through_path, direct;
  SYS(fstat(by_path, &through_path));
  SYS(stat(test::path("data"), &direct));
  CHECK_EQ(through_path.st_ino, direct.st_ino);
  CHECK_EQ(SYS(lseek(folder_fd, 0, SEEK_CUR)), folder_offset);
  SYS(fstatat(folder_fd, "a rather long file name, number 7", &direct, 0));
  CHECK_EQ(names_from(folder).size(), 302 - 20);  // with . and ..
  done();
}
