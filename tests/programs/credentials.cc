// Users, groups and file system ids of processes and single threads.

// test: root

#include <grp.h>
#include <sys/fsuid.h>

#include <atomic>
#include <thread>

#include "support/program.h"

static void check_ids(uid_t real, uid_t effective, uid_t saved, gid_t group) {
  uid_t r, e, s;
  gid_t rg, eg, sg;
  SYS(getresuid(&r, &e, &s));
  SYS(getresgid(&rg, &eg, &sg));
  CHECK_EQ(r, real);
  CHECK_EQ(e, effective);
  CHECK_EQ(s, saved);
  CHECK(rg == group && eg == group && sg == group);
}

int main() {
  pid_t child = SYS(fork());
  if (child == 0) {  // gives everything up
    gid_t groups[] = {100, 2000, 70000};
    SYS(setgroups(3, groups));
    SYS(setresgid(1234, 1234, 1234));
    SYS(setresuid(4321, 4321, 4321));
    mark("dropped");
    await_go();
    check_ids(4321, 4321, 4321, 1234);
    gid_t found[8];
    CHECK_EQ(getgroups(8, found), 3);
    CHECK(found[0] == 100 && found[1] == 2000 && found[2] == 70000);
    CHECK(setuid(0) == -1 && errno == EPERM);
    CHECK(open("/etc/shadow", O_RDONLY) == -1 && errno == EACCES);
    _exit(0);
  }
  pid_t switcher = SYS(fork());
  if (switcher == 0) {  // keeps a way back
    SYS(setresuid(0, 4321, 0));
    mark("switched");
    await_go();
    check_ids(0, 4321, 0, 0);
    SYS(setresuid(0, 0, 0));
    _exit(0);
  }
  // The raw calls change one thread only.
  std::atomic<int> ready{0}, go{0};
  std::thread thread([&] {
    SYS(syscall(SYS_setresuid, 0, 555, 0));
    setfsuid(0);
    ++ready;
    while (!go) pause_ms(1);
    check_ids(0, 555, 0, 0);
    CHECK_EQ(setfsuid(-1), 0);
  });
  std::thread other([&] {
    setfsuid(777);
    setfsgid(888);
    ++ready;
    while (!go) pause_ms(1);
    CHECK_EQ(setfsuid(-1), 777);
    CHECK_EQ(setfsgid(-1), 888);
  });
  while (ready < 2) pause_ms(1);
  await_mark("dropped");
  await_mark("switched");
  checkpoint_here();
  check_ids(0, 0, 0, 0);
  CHECK_EQ(setfsuid(-1), 0);
  go = 1;
  thread.join();
  other.join();
  check_child(child);
  check_child(switcher);
  done();
}
