// Process, thread, group and session numbers that a program remembers stay true.
#include <atomic>
#include <thread>

#include "support/program.h"

int main() {
  pid_t pid = getpid(), parent = getppid(), group = getpgrp(), session = getsid(0);
  std::atomic<int> tids[5] = {}, go{0};
  std::thread threads[5];
  for (int i = 0; i < 5; ++i)
    threads[i] = std::thread([&, i] {
      tids[i] = gettid();
      while (!go) pause_ms(1);
      CHECK_EQ(syscall(SYS_gettid), tids[i]);
      CHECK_EQ(getpid(), pid);
    });
  for (auto& tid : tids)
    while (!tid) pause_ms(1);
  threads[2].detach();
  checkpoint_here();
  CHECK_EQ(syscall(SYS_getpid), pid);
  CHECK_EQ(syscall(SYS_gettid), pid);
  if (!test::mode_is("attach")) CHECK_EQ(getppid(), parent);
  CHECK_EQ(getpgrp(), group);
  CHECK_EQ(getsid(0), session);
  char file[64];
  for (auto& tid : tids) {
    snprintf(file, sizeof file, "/proc/self/task/%d/status", tid.load());
    CHECK_EQ(atoi(test::proc_line(file, "Pid:")), tid);
    CHECK_EQ(atoi(test::proc_line(file, "Tgid:")), pid);
  }
  char self[32] = {};
  SYS(readlink("/proc/self", self, sizeof self - 1));
  CHECK_EQ(atoi(self), pid);
  go = 1;
  for (int i : {0, 1, 3, 4}) threads[i].join();
  done();
}
