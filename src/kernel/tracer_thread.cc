#include "kernel/tracer_thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <utility>

#include "kernel/proc/read.h"

namespace perdure::kernel {
namespace {

struct Job {
  const std::function<Status()>& body;
  Status result = {};
  pid_t tid = 0;
  std::atomic<pid_t> seizing{0};
};

thread_local Job* own_job = nullptr;

void* run(void* argument) {
  Job& job = *static_cast<Job*>(argument);
  job.tid = own_tid();
  own_job = &job;
  job.result = job.body();
  return nullptr;
}

// A thread is joined when its stack is free; it lets go of its tracees a moment later.
void await_exit(pid_t tid) {
  constexpr int kLooksAtOnce = 100;
  constexpr int kLooksMax = 1'000'000;  // seconds; only a kernel that is stuck needs them
  for (int i = 0; i < kLooksMax && ::syscall(SYS_tgkill, ::getpid(), tid, 0) == 0; ++i) {
    if (i >= kLooksAtOnce) ::sched_yield();
  }
}

// Threads of a process that ended, which our tracing thread would wait for if it did not sleep.
void bury_dead_threads(pid_t pid) {
  const auto tids = proc::threads_of(pid);
  if (!tids.ok()) return;
  for (const pid_t tid : *tids) (void)bury_if_dead(tid);
}

void watch_until_end(pthread_t thread, Job* job) {
  constexpr long kLookEveryNs = 2'000'000;
  constexpr long kSecondNs = 1'000'000'000;
  pid_t seen = 0;
  for (;;) {
    timespec until{};
    ::clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += kLookEveryNs;
    until.tv_sec += until.tv_nsec / kSecondNs;
    until.tv_nsec %= kSecondNs;
    const int error = ::pthread_clockjoin_np(thread, nullptr, CLOCK_MONOTONIC, &until);
    if (error == 0) return;
    PD_ASSERT(error == ETIMEDOUT);
    const pid_t seizing = job->seizing.load();
    if (seizing != 0 && seizing == seen) bury_dead_threads(seizing);
    seen = seizing;
  }
}

}  // namespace

bool is_tracer_thread() { return own_job != nullptr; }

std::optional<TraceEvent> await_trace_event(pid_t tid) {
  TraceEvent event;
  for (;;) {
    event.tid = ::waitpid(-1, &event.status, __WALL | __WNOTHREAD);
    if (event.tid == tid) return event;
    if (event.tid < 0 && errno != EINTR) return std::nullopt;
  }
}

void Looks::pause() {
  constexpr long kLongYieldNs = 30'000;
  constexpr long kPauseNs = 50'000;
  if (++count_ <= kMany) {
    timespec before{};
    timespec after{};
    ::clock_gettime(CLOCK_MONOTONIC, &before);
    ::sched_yield();
    ::clock_gettime(CLOCK_MONOTONIC, &after);
    const bool quick =
        after.tv_sec == before.tv_sec && after.tv_nsec - before.tv_nsec < kLongYieldNs;
    if (!quick) count_ = kMany;
    return;
  }
  const timespec pause{0, kPauseNs};
  ::nanosleep(&pause, nullptr);
}

// Stops of tracees are told whatever is asked for (wait_task_stopped in kernel/exit.c), so that one
// looks first.
bool bury_if_dead(pid_t tid) {
  siginfo_t info = {};
  const auto who = static_cast<id_t>(tid);
  if (::waitid(P_PID, who, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0) return true;
  if (info.si_pid == 0 || info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED) return false;
  (void)::waitid(P_PID, who, &info, WEXITED | WNOHANG | __WALL);
  return true;
}

Seizing::Seizing(pid_t pid) {
  if (own_job != nullptr) own_job->seizing.store(pid);
}
Seizing::~Seizing() {
  if (own_job != nullptr) own_job->seizing.store(0);
}

namespace {

// The stacks that threads get by themselves are given back page by page when they end, so that each
// stop would begin with some twenty page faults. This one stays; there is one tracing thread at a
// time for each that waits for it.
class TracerStack {
 public:
  TracerStack() {
    void* memory = ::mmap(nullptr, kBytes + kGuardBytes, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return;
    base_ = static_cast<char*>(memory);
    if (::mprotect(base_ + kGuardBytes, kBytes, PROT_READ | PROT_WRITE) != 0) free();
  }
  TracerStack(const TracerStack&) = delete;
  TracerStack& operator=(const TracerStack&) = delete;
  ~TracerStack() { free(); }

  // Without one the thread gets a stack as any other does.
  void use(pthread_attr_t* attributes) const {
    if (base_ != nullptr) (void)::pthread_attr_setstack(attributes, base_ + kGuardBytes, kBytes);
  }

 private:
  static constexpr size_t kBytes = size_t{4} << 20, kGuardBytes = 65536;
  void free() {
    if (base_ != nullptr) ::munmap(std::exchange(base_, nullptr), kBytes + kGuardBytes);
  }
  char* base_ = nullptr;
};

}  // namespace

Status in_tracer_thread(const std::function<Status()>& body) {
  static thread_local TracerStack stack;
  Job job{body};
  pthread_t thread;
  pthread_attr_t attributes;
  PD_ASSERT(::pthread_attr_init(&attributes) == 0);
  stack.use(&attributes);
  const int error = ::pthread_create(&thread, &attributes, run, &job);
  (void)::pthread_attr_destroy(&attributes);
  if (error != 0) return Error::system(error, "start", "a thread to trace from");
  watch_until_end(thread, &job);
  await_exit(job.tid);
  return std::move(job.result);
}

std::optional<TraceEvent> next_trace_event() {
  TraceEvent event;
  do {
    event.tid = ::waitpid(-1, &event.status, __WALL | __WNOTHREAD | WNOHANG);
  } while (event.tid < 0 && errno == EINTR);
  if (event.tid <= 0) return std::nullopt;
  return event;
}

pid_t own_tid() { return static_cast<pid_t>(::syscall(SYS_gettid)); }

}  // namespace perdure::kernel
