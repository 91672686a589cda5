// Scheduling policy, priority, niceness, affinity and timer slack, each of a thread of its own.

// test: root

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>

#include "support/program.h"

struct Setting {
  int policy, priority, nice, cpu, slack_ns;
};
static const Setting kSettings[] = {
    {SCHED_OTHER, 0, 5, 0, 50001}, {SCHED_BATCH, 0, 3, 1, 50002},
    {SCHED_IDLE, 0, 0, 0, 50003},  {SCHED_FIFO, 2, 0, 1, 50000},
    {SCHED_RR, 1, 0, 0, 50000},    {SCHED_OTHER | SCHED_RESET_ON_FORK, 0, 9, 1, 50006},
};

static cpu_set_t only(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu % int(sysconf(_SC_NPROCESSORS_ONLN)), &set);
  return set;
}

static void apply(const Setting& s) {
  bool realtime = s.policy == SCHED_FIFO || s.policy == SCHED_RR;
  sched_param parameter = {s.priority};
  SYS(syscall(SYS_sched_setscheduler, 0, s.policy, &parameter));
  if (!realtime) SYS(setpriority(PRIO_PROCESS, gettid(), s.nice));
  if (!realtime) SYS(prctl(PR_SET_TIMERSLACK, s.slack_ns));
  cpu_set_t set = only(s.cpu);
  SYS(sched_setaffinity(0, sizeof set, &set));
}

static void verify(const Setting& s) {
  bool realtime = s.policy == SCHED_FIFO || s.policy == SCHED_RR;
  sched_param parameter = {};
  CHECK_EQ(syscall(SYS_sched_getscheduler, 0), s.policy);
  SYS(syscall(SYS_sched_getparam, 0, &parameter));
  CHECK_EQ(parameter.sched_priority, s.priority);
  if (!realtime) CHECK_EQ(getpriority(PRIO_PROCESS, gettid()), s.nice);
  if (!realtime) CHECK_EQ(prctl(PR_GET_TIMERSLACK), s.slack_ns);
  cpu_set_t set, expected = only(s.cpu);
  SYS(sched_getaffinity(0, sizeof set, &set));
  CHECK(CPU_EQUAL(&set, &expected));
}

int main() {
  std::atomic<int> ready{0}, go{0};
  std::thread threads[6];
  for (int i = 0; i < 6; ++i)
    threads[i] = std::thread([&, i] {
      apply(kSettings[i]);
      ++ready;
      while (!go) pause_ms(1);
      verify(kSettings[i]);
    });
  while (ready < 6) pause_ms(1);
  checkpoint_here();
  CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
  go = 1;
  for (auto& thread : threads) thread.join();
  done();
}
