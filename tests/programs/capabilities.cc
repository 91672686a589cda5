// Capability sets (effective, permitted, inheritable, bounding, ambient), securebits, no_new_privs.

// test: root

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

#include "support/program.h"

static const char* const kKeys[] = {
    "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Uid:", "Groups:"};

static void snapshot(char (&lines)[8][128]) {
  for (int i = 0; i < 8; ++i)
    snprintf(lines[i], sizeof lines[i], "%s", test::proc_line("/proc/self/status", kKeys[i]));
}

static void child_with(void (*drop)(), const char* name) {
  drop();
  char before[8][128], after[8][128];
  snapshot(before);
  int bits = SYS(prctl(PR_GET_SECUREBITS));
  mark(name);
  await_go();
  snapshot(after);
  for (int i = 0; i < 8; ++i)
    if (strcmp(before[i], after[i]) != 0)
      FAIL("%s: %s is %s, not %s", name, kKeys[i], after[i], before[i]);
  CHECK_EQ(prctl(PR_GET_SECUREBITS), bits);
  _exit(0);
}

static void set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  for (int i = 0; i < 2; ++i) {
    data[i].effective = uint32_t(effective >> (32 * i));
    data[i].permitted = uint32_t(permitted >> (32 * i));
    data[i].inheritable = uint32_t(inheritable >> (32 * i));
  }
  SYS(syscall(SYS_capset, &header, data));
}

static void few() {
  SYS(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT));
  SYS(prctl(PR_CAPBSET_DROP, CAP_MKNOD));
  SYS(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP | SECBIT_NOROOT));
  uint64_t kept =
      1ULL << CAP_CHOWN | 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_SETUID | 1ULL << CAP_SETGID;
  set_capabilities(1ULL << CAP_CHOWN, kept, 1ULL << CAP_NET_BIND_SERVICE);
  SYS(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
}
static void none() {
  SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  set_capabilities(0, 0, 0);
}
static void user_with_one() {
  SYS(prctl(PR_SET_KEEPCAPS, 1));
  SYS(setresuid(1111, 1111, 1111));
  set_capabilities(1ULL << CAP_NET_RAW, 1ULL << CAP_NET_RAW, 0);
}

int main() {
  struct {
    void (*drop)();
    const char* name;
    pid_t pid;
  } children[] = {{few, "few", 0}, {none, "none", 0}, {user_with_one, "user_with_one", 0}};
  for (auto& child : children) {
    child.pid = SYS(fork());
    if (child.pid == 0) child_with(child.drop, child.name);
    await_mark(child.name);
  }
  checkpoint_here();
  for (auto& child : children) check_child(child.pid);
  done();
}
