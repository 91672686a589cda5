#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/test_group.h"

namespace perdure::daemon {

std::unique_ptr<TestGroup> TestGroup::start(const std::vector<std::string>& command,
                                            TestTerminal terminal) {
  auto group = std::make_unique<TestGroup>();
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  int master = -1;
  group->pid_ =
      terminal == TestTerminal::kNew ? ::forkpty(&master, nullptr, nullptr, nullptr) : ::fork();
  if (group->pid_ == 0) {
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  group->terminal_ = Fd::adopt(master);
  group->pidfd_ = Fd::adopt(static_cast<int>(::syscall(SYS_pidfd_open, group->pid_, 0)));
  return group;
}

TestGroup::~TestGroup() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Result<engine::CheckpointReport> TestGroup::checkpoint(const engine::CheckpointOptions& options) {
  if (options.files == engine::FilePolicy::kVolatile) {
    return Error(Code::kUnsupported, "pid 7 (x) fd 3: inotify cannot be saved")
        .with_remedy("close it");
  }
  engine::CheckpointReport report;
  report.epoch = Epoch(++epochs);
  return report;
}

Status TestGroup::kill() {
  ::kill(pid_, SIGKILL);
  return Ok{};
}

Status TestGroup::detach() {
  detached = true;
  return Ok{};
}

std::optional<int> TestGroup::wait_status() {
  int status = 0;
  if (::waitpid(pid_, &status, 0) != pid_) return std::nullopt;
  pid_ = -1;
  return status;
}

namespace {

TEST(TestGroup, IsARealProcess) {
  auto group = TestGroup::start({"sh", "-c", "exit 3"}, TestTerminal::kNone);
  ASSERT_GT(group->root_pid(), 0);
  EXPECT_EQ(WEXITSTATUS(group->wait_status().value()), 3);
}

}  // namespace
}  // namespace perdure::daemon
