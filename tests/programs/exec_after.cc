// fork, vfork and exec work as before, and a new program in an old process gets the old environment
// and descriptors.
#include <spawn.h>

#include "support/program.h"

extern char** environ;

static void run(const char* const* arguments, int expected) {
  pid_t pid = 0;
  CHECK_EQ(
      posix_spawn(&pid, arguments[0], nullptr, nullptr, const_cast<char**>(arguments), environ), 0);
  int status = 0;
  SYS(waitpid(pid, &status, 0));
  if (status != expected << 8) FAIL("%s %s ended with 0x%x", arguments[0], arguments[1], status);
}

int main() {
  setenv("PERDURE_KEPT", "kept", 1);
  pid_t waiting = SYS(fork());
  if (waiting == 0) {
    await_go();
    execl("/bin/sh", "sh", "-c", "test \"$PERDURE_KEPT\" = kept && exit 21", nullptr);
    _exit(1);
  }
  const char* echo[] = {"/bin/sh", "-c", "exit 5", nullptr};
  run(echo, 5);
  checkpoint_here();
  run(echo, 5);
  int status = 0;
  SYS(waitpid(waiting, &status, 0));
  CHECK_EQ(status, 21 << 8);
  FILE* pipe = popen("echo from the shell", "re");
  char line[64] = {};
  CHECK(fgets(line, sizeof line, pipe));
  CHECK_TEXT(line, "from the shell\n");
  CHECK_EQ(pclose(pipe), 0);
  done();
}
