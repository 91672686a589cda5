// For tests: a real child that sets something up and then waits, and one of its threads stopped,
// ready to run batches.
#pragma once

#include <signal.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "kernel/tracee.h"

namespace perdure::kernel {

class TestChild {
 public:
  // Returns once `body` has returned in the child; the child then waits to be killed.
  explicit TestChild(const std::function<void()>& body) {
    int ready[2];
    PD_ASSERT(::pipe(ready) == 0);
    pid_ = ::fork();
    PD_ASSERT(pid_ >= 0);
    if (pid_ == 0) {
      ::close(ready[0]);
      body();
      PD_ASSERT(::write(ready[1], "x", 1) == 1);
      while (true) ::pause();
    }
    ::close(ready[1]);
    char byte;
    PD_ASSERT(::read(ready[0], &byte, 1) == 1);
    ::close(ready[0]);
  }
  TestChild(const TestChild&) = delete;
  TestChild& operator=(const TestChild&) = delete;
  ~TestChild() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, __WALL);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

// A thread of a TestChild, stopped with every signal blocked; let go again at the end.
class StoppedThread {
 public:
  explicit StoppedThread(pid_t tid) : tracee_(stop(tid)) {
    guard_.emplace(RegisterGuard::hold(&tracee_).value());
    constexpr uint64_t kVdsoBytes = 8192;
    instruction_ =
        find_syscall_instruction(tid, RemoteAddr(::getauxval(AT_SYSINFO_EHDR)), kVdsoBytes).value();
    area_.emplace(BatchArea::map(&tracee_, instruction_).value());
  }
  StoppedThread(const StoppedThread&) = delete;
  StoppedThread& operator=(const StoppedThread&) = delete;
  ~StoppedThread() { (void)area_->unmap(&tracee_, instruction_); }

  Tracee& tracee() { return tracee_; }
  RegisterGuard& guard() { return *guard_; }
  Batch batch() const { return area_->batch(); }
  Status run(Batch* batch) { return area_->run(&tracee_, batch); }
  // One call; its result.
  int64_t call(long number, std::array<Arg, 6> args = {}) {
    Batch single = batch();
    const size_t index = single.call(number, args);
    PD_ASSERT(run(&single).ok());
    return single.result(index);
  }

 private:
  static Tracee stop(pid_t tid) {
    Tracee tracee = Tracee::seize(tid).value();
    std::vector<pid_t> born;
    PD_ASSERT(tracee.interrupt().ok() && tracee.wait_rest(&born).ok());
    return tracee;
  }

  Tracee tracee_;
  std::optional<RegisterGuard> guard_;
  RemoteAddr instruction_;
  std::optional<BatchArea> area_;
};

}  // namespace perdure::kernel
