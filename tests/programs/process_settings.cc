// umask, working directory, limits, niceness, personality, dumpable, timer slack, oom score, and
// other per-process settings.
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "support/program.h"

int main() {
  char folder[512];
  snprintf(folder, sizeof folder, "%s", test::path("working"));
  SYS(mkdir(folder, 0755));
  SYS(chdir(folder));
  umask(0137);
  rlimit files = {200, 300}, core = {0, 1 << 20}, stack = {4 << 20, 16 << 20};
  SYS(setrlimit(RLIMIT_NOFILE, &files));
  SYS(setrlimit(RLIMIT_CORE, &core));
  SYS(setrlimit(RLIMIT_STACK, &stack));
  SYS(setpriority(PRIO_PROCESS, 0, 7));
  SYS(personality(ADDR_NO_RANDOMIZE));
  SYS(prctl(PR_SET_TIMERSLACK, 123456));
  SYS(prctl(PR_SET_PDEATHSIG, 0));
  SYS(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  int oom = SYS(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  CHECK_EQ(SYS(write(oom, "321", 3)), 3);
  close(oom);
  checkpoint_here();

  char where[300];
  CHECK(getcwd(where, sizeof where) == where);
  CHECK_TEXT(where, folder);
  CHECK_EQ(umask(0137), 0137);
  rlimit found;
  SYS(getrlimit(RLIMIT_NOFILE, &found));
  CHECK(found.rlim_cur == 200 && found.rlim_max == 300);
  SYS(getrlimit(RLIMIT_CORE, &found));
  CHECK(found.rlim_cur == 0 && found.rlim_max == 1 << 20);
  SYS(getrlimit(RLIMIT_STACK, &found));
  CHECK(found.rlim_cur == 4 << 20 && found.rlim_max == 16 << 20);
  CHECK_EQ(getpriority(PRIO_PROCESS, 0), 7);
  CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
  CHECK_EQ(prctl(PR_GET_TIMERSLACK), 123456);
  CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
  char score[16] = {};
  oom = SYS(open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC));
  SYS(read(oom, score, sizeof score - 1));
  CHECK_EQ(atoi(score), 321);
  done();
}
