#include "kernel/tracee.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <thread>

#include "kernel/proc/read.h"
#include "kernel/proc/stat.h"

namespace perdure::kernel {
namespace {

class Child {
 public:
  explicit Child(void (*body)()) : pid_(fork()) {
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing outlives a test that is killed
      body();
      _exit(0);
    }
  }
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, __WALL);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

void sleep_forever() {
  for (;;) pause();
}

RemoteAddr own_vdso() { return RemoteAddr(getauxval(AT_SYSINFO_EHDR)); }

std::string maps_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/maps");
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// Whether something becomes true before long, even on a busy machine.
bool holds_soon(const std::function<bool()>& condition) {
  constexpr int kTriesMax = 300'000;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    if (condition()) return true;
    usleep(100);
  }
  return false;
}

// Until the child sleeps in pause(2), its /proc/PID/syscall says otherwise.
void wait_until_paused(pid_t pid) {
  std::string call;
  const bool paused = holds_soon([&] {
    std::ifstream in("/proc/" + std::to_string(pid) + "/syscall");
    return in >> call && call == std::to_string(SYS_pause);
  });
  ASSERT_TRUE(paused) << "the child is in system call '" << call << "'";
}

Tracee stopped(pid_t pid) {
  Result<Tracee> tracee = Tracee::seize(pid);
  EXPECT_TRUE(tracee.ok());
  EXPECT_TRUE(tracee->interrupt().ok());
  EXPECT_TRUE(tracee->wait_rest(nullptr).ok());
  return std::move(tracee).value();
}

TEST(Batch, RunsCallsAndPassesResultsOn) {
  Child child(sleep_forever);
  Tracee tracee = stopped(child.pid());
  std::string maps_before = maps_of(child.pid());
  RemoteAddr instruction = find_syscall_instruction(child.pid(), own_vdso(), 8192).value();
  {
    RegisterGuard guard = std::move(RegisterGuard::hold(&tracee)).value();
    BatchArea area = BatchArea::map(&tracee, instruction).value();
    Batch batch = area.batch();
    size_t pid_call = batch.call(SYS_getpid);
    size_t pipe_call = batch.call(SYS_getpgid, {Arg::result_of(pid_call)});
    RemoteAddr text = batch.out(64);
    size_t name =
        batch.call(SYS_readlinkat, {AT_FDCWD, batch.in(std::string("/proc/self/exe")), text, 63});
    size_t failing = batch.call(SYS_close, {-1});
    size_t never = batch.call(SYS_getpid);
    ASSERT_TRUE(area.run(&tracee, &batch).ok());
    EXPECT_EQ(batch.result(pid_call), child.pid());
    EXPECT_EQ(batch.result(pipe_call), getpgid(child.pid()));
    EXPECT_GT(batch.result(name), 0);
    EXPECT_EQ(batch.bytes(text, 1)[0], '/');
    EXPECT_EQ(batch.result(failing), -EBADF);
    EXPECT_EQ(batch.result(never), Batch::kNotRun);
    EXPECT_TRUE(area.unmap(&tracee, instruction).ok());
  }
  EXPECT_EQ(maps_of(child.pid()), maps_before);
}

TEST(Tracee, RegistersAndMaskAreAsBeforeAfterABatch) {
  Child child(sleep_forever);
  wait_until_paused(child.pid());
  Tracee tracee = stopped(child.pid());
  Registers before = tracee.registers().value();
  uint64_t mask = tracee.signal_mask().value();
  {
    RegisterGuard guard = std::move(RegisterGuard::hold(&tracee)).value();
    RemoteAddr instruction = find_syscall_instruction(child.pid(), own_vdso(), 8192).value();
    EXPECT_EQ(remote_call(&tracee, instruction, SYS_getpid, {}).value(), child.pid());
  }
  Registers after = tracee.registers().value();
  EXPECT_EQ(memcmp(&before, &after, sizeof(before)), 0);
  EXPECT_EQ(tracee.signal_mask().value(), mask);
  EXPECT_EQ(static_cast<int64_t>(before.rax), -514);  // ERESTARTNOHAND: pause will be restarted
}

TEST(Tracee, PendingSignalsAreSeenAndStay) {
  Child child([] {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    sleep_forever();
  });
  Tracee tracee = stopped(child.pid());
  sigval value{};
  value.sival_int = 77;
  // The child may not have blocked signals yet when it was stopped: block them from here.
  ASSERT_TRUE(tracee.set_signal_mask(~0ull).ok());
  ASSERT_EQ(sigqueue(child.pid(), SIGUSR1, value), 0);
  auto pending = tracee.pending(Tracee::Queue::kProcess).value();
  ASSERT_EQ(pending.size(), 1u);
  siginfo_t info;
  memcpy(&info, pending[0].data(), sizeof(info));
  EXPECT_EQ(info.si_signo, SIGUSR1);
  EXPECT_EQ(info.si_value.sival_int, 77);
  EXPECT_EQ(tracee.pending(Tracee::Queue::kProcess).value().size(), 1u);
  EXPECT_EQ(tracee.pending(Tracee::Queue::kThread).value().size(), 0u);
}

TEST(Tracee, StoppedProcessIsInGroupStop) {
  Child child(sleep_forever);
  ASSERT_EQ(kill(child.pid(), SIGSTOP), 0);
  ASSERT_EQ(waitpid(child.pid(), nullptr, WUNTRACED), child.pid());
  Tracee tracee = stopped(child.pid());
  EXPECT_EQ(tracee.stop_kind(), StopKind::kGroupStop);
  EXPECT_EQ(tracee.stop_signal(), SIGSTOP);
}

TEST(Tracee, DeadTargetIsAValue) {
  pid_t pid;
  {
    Child child(sleep_forever);
    pid = child.pid();
  }
  Result<Tracee> tracee = Tracee::seize(pid);
  ASSERT_FALSE(tracee.ok());
  EXPECT_EQ(tracee.error().code(), Code::kGone);
}

// A visit ends as soon as the visitor is done, however the two are scheduled: also when the thread
// has not begun to wait by then.
TEST(Batch, AVisitLastsAsLongAsTheVisitor) {
  Child child(sleep_forever);
  Tracee tracee = Tracee::seize(child.pid()).value();
  ASSERT_TRUE(tracee.interrupt().ok() && tracee.wait_rest(nullptr).ok());
  const RemoteAddr instruction = find_syscall_instruction(child.pid(), own_vdso(), 8192).value();
  RegisterGuard guard = RegisterGuard::hold(&tracee).value();
  const BatchArea area = BatchArea::map(&tracee, instruction).value();
  timespec begin{};
  timespec end{};
  clock_gettime(CLOCK_MONOTONIC, &begin);
  constexpr int kVisits = 200;
  for (int at = 0; at < kVisits; ++at) {
    Batch batch = area.batch();
    batch.call(SYS_getppid, {});
    const BatchArea::Visit visit = BatchArea::add_visit(&batch);
    const size_t last = batch.call(SYS_getpid, {});
    int64_t seen = 0;
    ASSERT_TRUE(area.run_visited(&tracee, &batch, visit,
                                 [&](int64_t result) {
                                   seen = result;
                                   if (at % 2 != 0) usleep(200);  // it waits by now
                                 })
                    .ok());
    EXPECT_EQ(seen, getpid());
    EXPECT_EQ(batch.result(last), child.pid());
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  EXPECT_LT(end.tv_sec - begin.tv_sec, kVisits / 4) << "a visit took the whole second";
  ASSERT_TRUE(area.unmap(&tracee, instruction).ok());
}

// Ends with status 0 if a call with a time limit was not disturbed.
void poll_for_a_while() { _exit(poll(nullptr, 0, 700) == 0 ? 0 : 1); }

TEST(Batch, AVisitLeavesTheCallThatTheThreadIsInAlone) {
  const pid_t child = fork();
  if (child == 0) poll_for_a_while();
  ASSERT_TRUE(holds_soon([&] {
    return proc::read_text(proc::path_of(child, "syscall"))
        ->starts_with(std::to_string(SYS_poll) + " ");
  }));
  {
    Tracee tracee = stopped(child);
    const RemoteAddr instruction = find_syscall_instruction(child, own_vdso(), 8192).value();
    RegisterGuard guard = RegisterGuard::hold(&tracee).value();
    const BatchArea area = BatchArea::map(&tracee, instruction).value();
    Batch batch = area.batch();
    batch.call(SYS_getppid, {});
    const BatchArea::Visit visit = BatchArea::add_visit(&batch);
    batch.call(SYS_getpid, {});
    ASSERT_TRUE(area.run_visited(&tracee, &batch, visit, [](int64_t) {}).ok());
    ASSERT_TRUE(area.unmap(&tracee, instruction).ok());
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "poll saw EINTR";
}

// A stop that was asked for before the batch began does not keep it from running.
TEST(Batch, AVisitPassesStops) {
  Child child(sleep_forever);
  Tracee tracee = stopped(child.pid());
  const RemoteAddr instruction = find_syscall_instruction(child.pid(), own_vdso(), 8192).value();
  {
    RegisterGuard guard = RegisterGuard::hold(&tracee).value();
    const BatchArea area = BatchArea::map(&tracee, instruction).value();
    kill(child.pid(), SIGSTOP);
    Batch batch = area.batch();
    batch.call(SYS_getppid, {});
    const BatchArea::Visit visit = BatchArea::add_visit(&batch);
    batch.call(SYS_getpid, {});
    int64_t seen = 0;
    ASSERT_TRUE(
        area.run_visited(&tracee, &batch, visit, [&](int64_t result) { seen = result; }).ok());
    EXPECT_EQ(seen, getpid());
    ASSERT_TRUE(area.unmap(&tracee, instruction).ok());
  }
  ASSERT_TRUE(tracee.detach().ok());
  EXPECT_TRUE(holds_soon([&] { return proc::read_stat(child.pid())->state == 'T'; }));
}

// Likewise a single call, by which the area itself is mapped.
TEST(Tracee, AStopThatComesBeforeACallIsPutOff) {
  Child child(sleep_forever);
  Tracee tracee = stopped(child.pid());
  const RemoteAddr instruction = find_syscall_instruction(child.pid(), own_vdso(), 8192).value();
  {
    RegisterGuard guard = RegisterGuard::hold(&tracee).value();
    ASSERT_EQ(kill(child.pid(), SIGSTOP), 0);
    const Result<int64_t> result = remote_call(&tracee, instruction, SYS_getpid, {});
    ASSERT_TRUE(result.ok()) << result.error().to_string();
    EXPECT_EQ(*result, child.pid());
  }
  ASSERT_TRUE(tracee.detach().ok());
  EXPECT_TRUE(holds_soon([&] { return proc::read_stat(child.pid())->state == 'T'; }));
}

// The main thread ends, the other one goes on until the process is killed.
void end_main_thread_when_told() {
  static std::atomic<bool> told{false};
  signal(SIGUSR1, [](int) { told = true; });
  std::thread([] { sleep_forever(); }).detach();
  while (!told) usleep(1000);
  syscall(SYS_exit, 0);
}

TEST(Tracee, AMainThreadThatEndsBeforeItsStopIsNotWaitedForWithoutEnd) {
  Child child(end_main_thread_when_told);
  const std::string tasks = "/proc/" + std::to_string(child.pid()) + "/task";
  ASSERT_TRUE(holds_soon([&] { return proc::list_numbers(tasks)->size() == 2; }));
  {
    Tracee tracee = Tracee::seize(child.pid()).value();
    kill(child.pid(), SIGUSR1);
    // Its signal stop comes first; then it ends.
    ASSERT_TRUE(tracee.interrupt().ok());
    Status rested = tracee.wait_rest(nullptr);
    while (rested.ok()) {
      ASSERT_TRUE(tracee.resume().ok());
      usleep(2000);
      rested = tracee.interrupt();
      if (rested.ok()) rested = tracee.wait_rest(nullptr);
    }
    EXPECT_EQ(rested.error().code(), Code::kGone);
  }
  EXPECT_TRUE(Tracee::wait_for_leftovers());
  kill(child.pid(), SIGKILL);
  EXPECT_TRUE(holds_soon([] { return !Tracee::wait_for_leftovers(); }));
}

TEST(Batch, ForkInABatchYieldsTheChildStoppedBeforeItRuns) {
  Child child(sleep_forever);
  Tracee tracee = stopped(child.pid());
  RegisterGuard guard = std::move(RegisterGuard::hold(&tracee)).value();
  RemoteAddr instruction = find_syscall_instruction(child.pid(), own_vdso(), 8192).value();
  BatchArea area = BatchArea::map(&tracee, instruction).value();
  Batch batch = area.batch();
  size_t made = batch.call(SYS_fork);
  std::vector<pid_t> born;
  ASSERT_TRUE(area.run(&tracee, &batch, &born).ok());
  ASSERT_EQ(born.size(), 1u);
  EXPECT_EQ(batch.result(made), born[0]);
  Tracee grandchild = Tracee::adopt(born[0]);
  ASSERT_TRUE(grandchild.wait_rest(nullptr).ok());
  Batch inside = area.batch();
  size_t parent = inside.call(SYS_getppid);
  ASSERT_TRUE(area.run(&grandchild, &inside).ok());
  EXPECT_EQ(inside.result(parent), child.pid());
  kill(born[0], SIGKILL);
  waitpid(born[0], nullptr, __WALL);
  grandchild.abandon();
}

}  // namespace
}  // namespace perdure::kernel

namespace perdure::kernel {
namespace {

struct Progress {
  std::atomic<uint64_t> count;
  std::atomic<uint64_t> wrong;
};

// Goes round with values in every register that a compiler may use, and notices if one changes.
void count_on(Progress* progress) {
  uint64_t a = 1, b = 2, c = 3, d = 5;
  for (;;) {
    a += 1, b += 2, c += 3, d += 5;
    asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    if (b != 2 * a || c != 3 * a || d != 5 * a) ++progress->wrong;
    ++progress->count;
  }
}

TEST(Batch, ThreadGoesOnWithItsOwnWorkIfTheTracerDiesInTheMiddle) {
  void* shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  Progress* progress = static_cast<Progress*>(shared);
  const pid_t target = fork();
  if (target == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    count_on(progress);
  }
  ASSERT_TRUE(holds_soon([&] { return progress->count != 0; }));
  const pid_t tracer = fork();
  if (tracer == 0) {
    Tracee tracee = stopped(target);
    RegisterGuard guard = std::move(RegisterGuard::hold(&tracee)).value();
    RemoteAddr instruction = find_syscall_instruction(target, own_vdso(), 8192).value();
    BatchArea area = BatchArea::map(&tracee, instruction).value();
    Batch batch = area.batch();
    const timespec moment{0, 200'000'000};
    batch.call(SYS_nanosleep, {batch.in_value(moment), 0});
    batch.call(SYS_kill, {getpid(), SIGKILL});  // the target ends its tracer inside the batch
    batch.call(SYS_getpid);
    (void)area.run(&tracee, &batch);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(tracer, &status, 0), tracer);
  EXPECT_TRUE(WIFSIGNALED(status));
  const uint64_t before = progress->count;
  (void)holds_soon(
      [&] { return progress->count >= before + 1000 || waitpid(target, &status, WNOHANG) != 0; });
  EXPECT_GE(progress->count.load(), before + 1000) << "the target ended with status " << status;
  EXPECT_EQ(progress->wrong.load(), 0u);
  std::ifstream in("/proc/" + std::to_string(target) + "/status");
  std::string line;
  while (std::getline(in, line) && line.rfind("SigBlk:", 0) != 0) continue;
  EXPECT_EQ(line, "SigBlk:\t0000000000000000");
  kill(target, SIGKILL);
  waitpid(target, nullptr, 0);
  munmap(shared, 4096);
}

}  // namespace
}  // namespace perdure::kernel
