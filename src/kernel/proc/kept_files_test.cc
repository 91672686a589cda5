#include "kernel/proc/kept_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "kernel/proc/read.h"
#include "kernel/proc/stat.h"

namespace perdure::kernel::proc {
namespace {

class Child {
 public:
  Child() : pid_(::fork()) {
    if (pid_ == 0) {
      for (;;) ::pause();
    }
    keep_files(pid_);
  }
  ~Child() {
    end();
    forget_files(pid_);
  }
  void end() {
    if (pid_ <= 0 || ended_) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ended_ = true;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
  bool ended_ = false;
};

TEST(KeptFiles, OnlyFilesOfKeptProcessesAreKept) {
  EXPECT_FALSE(read_kept(path_of(::getpid(), "stat")).has_value());
  Child child;
  EXPECT_TRUE(read_kept(path_of(child.pid(), "stat")).has_value());
  EXPECT_FALSE(read_kept("/proc/self/stat").has_value());
  forget_files(child.pid());
  EXPECT_FALSE(read_kept(path_of(child.pid(), "stat")).has_value());
}

TEST(KeptFiles, EachReadingIsOfNow) {
  Child child;
  while (read_stat(child.pid())->state != 'S') ::usleep(1000);
  ::kill(child.pid(), SIGSTOP);
  while (read_stat(child.pid())->state != 'T') ::usleep(1000);
  EXPECT_EQ(read_kept(path_of(child.pid(), "maps")).value().value(),
            read_text("/proc/" + std::to_string(child.pid()) + "/task/" +
                      std::to_string(child.pid()) + "/maps")
                .value());
}

TEST(KeptFiles, AFileLongerThanOneReadIsWhole) {
  Child child;
  const std::string path = path_of(child.pid(), "smaps");
  const std::string first = read_kept(path).value().value();
  EXPECT_GT(first.size(), 8192u);
  EXPECT_TRUE(first.ends_with('\n'));
  EXPECT_EQ(read_kept(path).value().value().size(), first.size());
}

TEST(KeptFiles, FoldersAreListedAnewEachTime) {
  Child child;
  EXPECT_EQ(list_kept(path_of(child.pid(), "task")), std::vector<pid_t>{child.pid()});
  const std::string descriptors = path_of(::getpid(), "fd");
  keep_files(::getpid());
  const auto before = list_kept(descriptors).value();
  const int more = ::dup(0);
  const auto after = list_kept(descriptors).value();
  EXPECT_EQ(after.size(), before.size() + 1);
  ::close(more);
  EXPECT_EQ(list_kept(descriptors).value(), before);
  forget_files(::getpid());
  child.end();
  EXPECT_FALSE(list_kept(path_of(child.pid(), "task")).has_value());
  EXPECT_EQ(threads_of(child.pid()).error().code(), Code::kGone);
}

TEST(KeptFiles, AProcessThatEndedIsGone) {
  Child child;
  ASSERT_TRUE(read_text(path_of(child.pid(), "stat")).ok());
  ASSERT_TRUE(read_text(path_of(child.pid(), "timers")).ok());                 // empty
  const std::string children = path_of(child.pid(), child.pid(), "children");  // empty too
  ASSERT_TRUE(read_text(children).ok());
  child.end();
  EXPECT_EQ(read_text(path_of(child.pid(), "stat")).error().code(), Code::kGone);
  EXPECT_EQ(read_text(path_of(child.pid(), "timers")).error().code(), Code::kGone);
  EXPECT_EQ(read_text(children).error().code(), Code::kGone);
}

// A thread that makes a child and ends when told.
class Maker {
 public:
  Maker() : thread_([this] { run(); }) {
    while (step_ != kReady) ::usleep(100);
  }
  void go_to(int step) {
    step_ = step;
    while (step_ == step && step != kEnd) ::usleep(100);
    if (step == kEnd) thread_.join();
  }
  static constexpr int kReady = 1, kMake = 2, kEnd = 3;
  pid_t tid() const { return tid_; }
  pid_t child() const { return child_; }

 private:
  void run() {
    tid_ = static_cast<pid_t>(::syscall(SYS_gettid));
    for (step_ = kReady; step_ != kEnd; ::usleep(100)) {
      if (step_ != kMake) continue;
      child_ = ::fork();
      if (child_ == 0) {
        for (;;) ::pause();
      }
      step_ = kReady;
    }
  }
  std::atomic<int> step_{0};
  std::atomic<pid_t> tid_{0}, child_{0};
  std::thread thread_;
};

TEST(KeptFiles, TheListOfAThreadsChildrenIsKeptUntilItEnds) {
  keep_files(::getpid());
  Maker maker;
  const std::string path = path_of(::getpid(), maker.tid(), "children");
  for (int reading = 0; reading < 2; ++reading) {
    ASSERT_TRUE(read_kept(path).has_value());
    EXPECT_EQ(read_kept(path)->value(), "");
  }
  maker.go_to(Maker::kMake);
  EXPECT_EQ(trimmed(read_kept(path)->value()), std::to_string(maker.child()));
  ::kill(maker.child(), SIGKILL);
  ::waitpid(maker.child(), nullptr, 0);
  EXPECT_EQ(read_kept(path)->value(), "");
  maker.go_to(Maker::kEnd);
  // Joined is not gone yet.
  for (int looks = 0; looks < 10'000 && read_kept(path).has_value(); ++looks) ::usleep(100);
  EXPECT_FALSE(read_kept(path).has_value());
  EXPECT_FALSE(read_text(path).ok());
  forget_files(::getpid());
}

// A child of vfork(2) has its parent's address space, which lives on when it executes a program.
TEST(KeptFiles, FilesOfMemoryCanBeForgottenAlone) {
  int gate[2];
  ASSERT_EQ(::pipe2(gate, O_CLOEXEC), 0);
  std::vector<uint8_t> stack(65536);
  const auto body = [](void* argument) -> int {
    char byte = 0;
    if (::read(*static_cast<int*>(argument), &byte, 1) != 1) ::_exit(1);
    ::execl("/bin/sleep", "sleep", "1000", nullptr);
    ::_exit(1);
  };
  const pid_t pid = ::clone(body, stack.data() + stack.size(), CLONE_VM | SIGCHLD, gate);
  ASSERT_GT(pid, 0);
  keep_files(pid);
  const auto runs_sleep = [&] { return read_link(path_of(pid, "exe")).value().ends_with("sleep"); };
  const auto maps_sleep = [&] {
    return read_kept(path_of(pid, "maps")).value().value().find("/sleep\n") != std::string::npos;
  };
  EXPECT_FALSE(maps_sleep());
  ASSERT_EQ(::write(gate[1], "x", 1), 1);
  while (!runs_sleep()) ::usleep(1000);
  EXPECT_FALSE(maps_sleep()) << "this kernel tells by itself";
  forget_memory_files(pid);
  EXPECT_TRUE(maps_sleep());
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  forget_files(pid);
  ::close(gate[0]);
  ::close(gate[1]);
}

}  // namespace
}  // namespace perdure::kernel::proc
