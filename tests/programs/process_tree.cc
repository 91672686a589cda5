// Parents, children and grandchildren keep their PIDs and still are each other's; each level waits
// for the next.
#include <sys/prctl.h>

#include "support/program.h"

static void level(int depth, pid_t parent) {
  pid_t self = getpid();
  pid_t children[2] = {};
  int count = depth < 3 ? 2 : 0;
  for (int i = 0; i < count; ++i) {
    children[i] = SYS(fork());
    if (children[i] == 0) level(depth + 1, self);
  }
  char name[64];
  snprintf(name, sizeof name, "up.%d", self);
  mark(name);
  if (depth == 0) {
    char child_name[64];
    for (pid_t child : children) {
      snprintf(child_name, sizeof child_name, "up.%d", child);
      await_mark(child_name);
    }
    pause_ms(20);
    checkpoint_here();
  } else {
    await_go();
    CHECK_EQ(getppid(), parent);
  }
  CHECK_EQ(getpid(), self);
  CHECK_EQ(syscall(SYS_gettid), self);
  for (int i = 0; i < count; ++i) check_child(children[i]);
  CHECK(waitpid(-1, nullptr, 0) == -1 && errno == ECHILD);
  if (depth > 0) _exit(0);
}

int main() {
  pid_t parent = getppid();
  level(0, parent);
  if (!test::mode_is("attach")) CHECK_EQ(getppid(), parent);
  pid_t fresh = SYS(fork());  // forking goes on to work
  if (fresh == 0) _exit(0);
  check_child(fresh);
  done();
}
