// Faults after a restore reach the program's own handlers with the right address: guard pages,
// read-only pages, traps.
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "support/program.h"

static sigjmp_buf jump;
static void* volatile fault_address = nullptr;
static volatile int fault_code = 0;
static void handler(int, siginfo_t* info, void*) {
  fault_address = info->si_addr;
  fault_code = info->si_code;
  siglongjmp(jump, 1);
}
static void expect_fault(volatile char* address, bool write, int code) {
  fault_code = 0;
  if (sigsetjmp(jump, 1) == 0) {
    if (write)
      *address = 1;
    else
      (void)*address;
    FAIL("no fault at %p", static_cast<volatile void*>(address));
  }
  CHECK(fault_address == address);
  CHECK_EQ(fault_code, code);
}

int main() {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO;
  for (int signal : {SIGSEGV, SIGBUS, SIGTRAP, SIGFPE, SIGILL})
    SYS(sigaction(signal, &action, nullptr));
  char* area = static_cast<char*>(
      mmap(nullptr, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  fill(area, 5 * 4096, 4);
  SYS(mprotect(area + 4096, 4096, PROT_NONE));
  SYS(mprotect(area + 2 * 4096, 4096, PROT_READ));
  SYS(munmap(area + 3 * 4096, 4096));
  checkpoint_here();

  expect_fault(area + 4096 + 5, false, SEGV_ACCERR);
  expect_fault(area + 2 * 4096 + 6, true, SEGV_ACCERR);
  expect_fault(area + 3 * 4096 + 7, false, SEGV_MAPERR);
  CHECK(sigsetjmp(jump, 1) || (raise(SIGTRAP), false));
  SYS(mprotect(area + 4096, 4096, PROT_READ));
  check_filled(area, 3 * 4096, 4, "memory around and behind a guard page");
  done();
}
