// For tests: a child that does what it is told, and what a program can change of itself.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace perdure::kernel {

// A child that does what it is told, one thing after the other.
class Actor {
 public:
  using Act = std::function<bool()>;
  explicit Actor(std::vector<Act> acts) {
    EXPECT_EQ(::pipe2(orders_, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(answers_, O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    uint8_t order = 0;
    while (::read(orders_[0], &order, 1) == 1) {
      const char answer = acts[order]() ? 'y' : 'n';
      if (::write(answers_[1], &answer, 1) != 1) break;
    }
    ::_exit(0);
  }
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;
  ~Actor() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    for (int fd : {orders_[0], orders_[1], answers_[0], answers_[1]}) ::close(fd);
  }

  // Whether it could.
  bool act(size_t number) {
    const auto order = static_cast<uint8_t>(number);
    char answer = 0;
    EXPECT_EQ(::write(orders_[1], &order, 1), 1);
    EXPECT_EQ(::read(answers_[0], &answer, 1), 1);
    return answer == 'y';
  }
  pid_t pid() const { return pid_; }

 private:
  int orders_[2] = {}, answers_[2] = {};
  pid_t pid_ = -1;
};

inline bool write_own(const char* leaf, const char* text) {
  const int fd = ::open((std::string("/proc/self/") + leaf).c_str(), O_WRONLY);
  const bool done = fd >= 0 && ::write(fd, text, std::strlen(text)) > 0;
  if (fd >= 0) ::close(fd);
  return done;
}

inline bool add_filter() {
  sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  sock_fprog program = {1, &allow};
  return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

struct Change {
  const char* name;
  Actor::Act act;
};

inline bool set(int option, unsigned long value) { return ::prctl(option, value, 0, 0, 0) == 0; }

// What records and refusals come from, each changed by the program itself.
inline std::vector<Change> changes() {
  static char stack[65536];
  static uint32_t word;
  return {
      {"umask", [] { return ::umask(0123) != 0123; }},
      {"name", [] { return ::prctl(PR_SET_NAME, "another") == 0; }},
      {"death signal", [] { return set(PR_SET_PDEATHSIG, SIGUSR2); }},
      {"timer slack", [] { return set(PR_SET_TIMERSLACK, 77777); }},
      {"signal action", [] { return ::signal(SIGUSR1, SIG_IGN) != SIG_ERR; }},
      {"signal stack",
       [] {
         const stack_t there = {stack, 0, sizeof(stack)};
         return ::sigaltstack(&there, nullptr) == 0;
       }},
      {"limit",
       [] {
         const rlimit limit = {123, 456};
         return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
       }},
      {"oom_score_adj", [] { return write_own("oom_score_adj", "77"); }},
      {"personality", [] { return ::personality(ADDR_NO_RANDOMIZE) >= 0; }},
      {"coredump_filter", [] { return write_own("coredump_filter", "0x3f"); }},
      {"dumpable", [] { return set(PR_SET_DUMPABLE, 0); }},
      {"subreaper", [] { return set(PR_SET_CHILD_SUBREAPER, 1); }},
      {"huge pages", [] { return set(PR_SET_THP_DISABLE, 1); }},
      {"securebits", [] { return set(PR_SET_KEEPCAPS, 1); }},
      {"bounding set", [] { return set(PR_CAPBSET_DROP, CAP_WAKE_ALARM); }},
      {"groups",
       [] {
         const gid_t groups[] = {7, 8};
         return ::syscall(SYS_setgroups, 2, groups) == 0;
       }},
      {"affinity",
       [] {
         cpu_set_t processors;
         CPU_ZERO(&processors);
         CPU_SET(0, &processors);
         return ::sched_setaffinity(0, sizeof(processors), &processors) == 0;
       }},
      {"io priority", [] { return ::syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 3) == 0; }},
      {"robust list", [] { return ::syscall(SYS_set_robust_list, stack, 24) == 0; }},
      {"tid address", [] { return ::syscall(SYS_set_tid_address, &word) > 0; }},
      {"time stamp counter", [] { return set(PR_SET_TSC, PR_TSC_SIGSEGV); }},
      {"process group", [] { return ::setpgid(0, 0) == 0; }},
      {"host name space", [] { return ::unshare(CLONE_NEWUTS) == 0; }},
      {"IPC namespace", [] { return ::unshare(CLONE_NEWIPC) == 0; }},
      {"network namespace", [] { return ::unshare(CLONE_NEWNET) == 0; }},
      {"mount namespace", [] { return ::unshare(CLONE_NEWNS) == 0; }},
      {"PID namespace of children", [] { return ::unshare(CLONE_NEWPID) == 0; }},
      {"time namespace of children", [] { return ::unshare(CLONE_NEWTIME) == 0; }},
      {"user and group",
       [] { return ::syscall(SYS_setresgid, 5, 5, 5) == 0 && ::setresuid(6, 6, 6) == 0; }},
      {"no new privileges", [] { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0; }},
      {"user namespace", [] { return ::unshare(CLONE_NEWUSER) == 0; }},
      {"seccomp", [] { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && add_filter(); }},
  };
}

}  // namespace perdure::kernel
