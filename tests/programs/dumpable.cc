// A process that made itself undumpable is saved too and stays undumpable.

// test: root

#include <sys/prctl.h>

#include "support/program.h"

int main() {
  SYS(prctl(PR_SET_DUMPABLE, 0));
  checkpoint_here();
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
  done();
}
