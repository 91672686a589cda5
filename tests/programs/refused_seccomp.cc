// A process under a seccomp filter: refused, named, unharmed.

// test: refused

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "support/program.h"

int main() {
  sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sethostname, 0, 1),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EHWPOISON),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  sock_fprog program = {4, filter};
  SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
  checkpoint_here();
  CHECK(sethostname("x", 1) == -1 && errno == EHWPOISON);
  done();
}
