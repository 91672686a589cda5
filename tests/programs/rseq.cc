// The rseq area stays registered: the kernel keeps writing the processor number into it.
#include <sched.h>
#include <sys/rseq.h>

#include <atomic>
#include <thread>

#include "support/program.h"

static volatile struct rseq* area() {
  return reinterpret_cast<struct rseq*>(static_cast<char*>(__builtin_thread_pointer()) +
                                        __rseq_offset);
}

static void check_registered() {
  CHECK(__rseq_size > 0);
  // Registering it again fails with EBUSY; where it was lost, this call would succeed.
  long again = syscall(SYS_rseq, area(), 32, 0, RSEQ_SIG);
  if (again == 0) FAIL("rseq was not registered any more");
  CHECK_EQ(errno, EBUSY);
  cpu_set_t all;
  SYS(sched_getaffinity(0, sizeof all, &all));
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &all)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    SYS(sched_setaffinity(0, sizeof one, &one));
    CHECK_EQ(area()->cpu_id, cpu);
    CHECK_EQ(sched_getcpu(), cpu);
  }
  SYS(sched_setaffinity(0, sizeof all, &all));
}

int main() {
  std::atomic<int> go{0};
  std::thread thread([&] {
    while (!go) pause_ms(1);
    check_registered();
  });
  check_registered();
  checkpoint_here();
  check_registered();
  go = 1;
  thread.join();
  done();
}
