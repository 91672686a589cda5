// The price of stopping a thread and of system calls made inside it: the fixed part of every stop
// window.
#include <benchmark/benchmark.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/tracee.h"

namespace perdure::kernel {
namespace {

class Sleeper {
 public:
  Sleeper() : pid_(fork()) {
    if (pid_ != 0) return;
    for (;;) pause();
  }
  ~Sleeper() {
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, __WALL);
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

// Seize, interrupt, wait, read registers and vector state, detach: one thread of a first
// checkpoint.
void StopAndReadOneThread(benchmark::State& state) {
  Sleeper sleeper;
  for (auto _ : state) {
    Result<Tracee> tracee = Tracee::seize(sleeper.pid());
    PD_ASSERT(tracee.ok() && tracee->interrupt().ok() && tracee->wait_rest(nullptr).ok());
    PD_ASSERT(tracee->registers().ok() && tracee->xstate().ok());
    PD_ASSERT(tracee->detach().ok());
  }
}
BENCHMARK(StopAndReadOneThread)->Unit(benchmark::kMicrosecond);

// A batch of getpid() calls in a stopped thread; the argument is how many share the one stop.
void BatchOfCalls(benchmark::State& state) {
  Sleeper sleeper;
  Tracee tracee = std::move(Tracee::seize(sleeper.pid())).value();
  PD_ASSERT(tracee.interrupt().ok() && tracee.wait_rest(nullptr).ok());
  RemoteAddr vdso(getauxval(AT_SYSINFO_EHDR));
  RemoteAddr instruction = find_syscall_instruction(sleeper.pid(), vdso, 8192).value();
  RegisterGuard guard = std::move(RegisterGuard::hold(&tracee)).value();
  BatchArea area = BatchArea::map(&tracee, instruction).value();
  for (auto _ : state) {
    Batch batch = area.batch();
    for (int64_t i = 0; i < state.range(0); ++i) batch.call(SYS_getpid);
    PD_ASSERT(area.run(&tracee, &batch).ok());
  }
  PD_ASSERT(area.unmap(&tracee, instruction).ok());
}
BENCHMARK(BatchOfCalls)->Arg(1)->Arg(16)->Arg(256)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace perdure::kernel
