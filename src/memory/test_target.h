// For tests: a child process that does one step at a time, so that the memory of a real process can
// be looked at between steps. Between steps the child is blocked in read(2): it is as good as
// stopped.
#pragma once

#include <malloc.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/fd.h"
#include "base/limits.h"
#include "kernel/memory.h"
#include "kernel/proc/maps.h"
#include "kernel/proc/read.h"
#include "memory/tracker.h"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgot to declare it as C
}

namespace perdure::memory {

class Target {
 public:
  // What the child uses to meet the test.
  class Gate {
   public:
    Gate(Fd in, Fd out) : in_(std::move(in)), out_(std::move(out)) {}
    // Tells the test a number and waits until it says go; the child ends if the test is gone.
    void meet(uint64_t number = 0) {
      uint64_t answer = 0;
      if (write(out_.get(), &number, sizeof(number)) != sizeof(number)) _exit(1);
      if (::read(in_.get(), &answer, sizeof(answer)) != sizeof(answer)) _exit(1);
    }

   private:
    Fd in_, out_;
  };

  // Runs `body` in a child. The child first makes a userfaultfd, which the test can take.
  explicit Target(const std::function<void(Gate&)>& body) {
    int to_child[2], to_test[2];
    PD_ASSERT(pipe2(to_child, O_CLOEXEC) == 0 && pipe2(to_test, O_CLOEXEC) == 0);
    malloc_trim(0);  // what earlier tests freed would be part of the child
    pid_ = fork();
    PD_ASSERT(pid_ >= 0);
    if (pid_ == 0) {
      close(to_child[1]);
      close(to_test[0]);
      Gate gate(Fd::adopt(to_child[0]), Fd::adopt(to_test[1]));
      Result<Fd> uffd = kernel::create_userfaultfd();
      gate.meet(uffd.ok() ? static_cast<uint64_t>(uffd->get()) : 0);
      if (uffd.ok()) uffd->reset();
      body(gate);
      _exit(0);
    }
    in_ = Fd::adopt(to_test[0]);
    out_ = Fd::adopt(to_child[1]);
    close(to_child[0]);
    close(to_test[1]);
    int number = static_cast<int>(receive());
    Fd pidfd = Fd::adopt(pidfd_open(pid_, 0));
    if (number > 0) uffd_ = Fd::adopt(pidfd_getfd(pidfd.get(), number, 0));
    go();
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  ~Target() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }
  Fd take_uffd() { return std::move(uffd_); }
  // Waits until the child is blocked at its gate; the number that it told.
  uint64_t receive() {
    uint64_t number = 0;
    PD_ASSERT(::read(in_.get(), &number, sizeof(number)) == sizeof(number));
    std::string path = kernel::proc::path_of(pid_, "syscall");
    while (true) {
      Result<std::string> call = kernel::proc::read_text(path);
      if (call.ok() && call->starts_with("0 ")) return number;  // inside read(2)
      sched_yield();
    }
  }
  void go() {
    uint64_t answer = 1;
    PD_ASSERT(write(out_.get(), &answer, sizeof(answer)) == sizeof(answer));
  }
  uint64_t step() {
    go();
    return receive();
  }

  // The private mappings, or those parts of them that lie in [start, end).
  std::vector<Area> areas(uint64_t start = 0, uint64_t end = ~uint64_t{0}) const {
    Result<std::vector<kernel::proc::MapsEntry>> entries = kernel::proc::read_maps(pid_);
    PD_ASSERT(entries.ok());
    std::vector<Area> areas;
    for (const kernel::proc::MapsEntry& entry : *entries) {
      bool made_by_kernel = entry.path.starts_with("[v");
      if (entry.shared || made_by_kernel || entry.end <= start || entry.start >= end) continue;
      AreaKind kind = entry.path.starts_with('/') ? AreaKind::kFilePrivate : AreaKind::kAnonymous;
      areas.push_back(Area{std::max(entry.start, start), std::min(entry.end, end), kind,
                           (entry.protection & PROT_WRITE) != 0});
    }
    return areas;
  }

 private:
  pid_t pid_ = -1;
  Fd in_, out_, uffd_;
};

}  // namespace perdure::memory
