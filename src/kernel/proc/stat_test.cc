#include "kernel/proc/stat.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "kernel/test_child.h"

namespace perdure::kernel::proc {
namespace {

constexpr const char* kLine =
    "42 (a) b ( c) S 7 41 40 34816 42 4194304 1 0 0 0 0 0 0 0 20 5 3 0 106273 3133440 390 "
    "18446744073709551615 100 200 300 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 400 500 600 700 800 900 "
    "1000 9";

TEST(Stat, ANameWithParenthesesAndBlanksIsRead) {
  const Stat stat = parse_stat(kLine).value();
  EXPECT_EQ(stat.pid, 42);
  EXPECT_EQ(stat.comm, "a) b ( c");
  EXPECT_EQ(stat.state, 'S');
  EXPECT_EQ(stat.ppid, 7);
  EXPECT_EQ(stat.process_group, 41);
  EXPECT_EQ(stat.session, 40);
  EXPECT_EQ(stat.tty, 34816u);
  EXPECT_EQ(stat.nice, 5);
  EXPECT_EQ(stat.threads, 3);
  EXPECT_EQ(stat.start_ticks, 106273u);
  EXPECT_EQ(stat.start_code, 100u);
  EXPECT_EQ(stat.start_stack, 300u);
  EXPECT_EQ(stat.exit_signal, 17);
  EXPECT_EQ(stat.start_data, 400u);
  EXPECT_EQ(stat.env_end, 1000u);
  EXPECT_EQ(stat.exit_code, 9);
}

TEST(Stat, EveryShorterTextIsRefused) {
  const std::string line = kLine;
  for (size_t size = 0; size + 2 < line.size(); ++size) {
    EXPECT_FALSE(parse_stat(line.substr(0, size)).ok()) << size;
  }
}

TEST(Stat, OurOwnStatIsOurs) {
  const Stat stat = read_stat(::getpid()).value();
  EXPECT_EQ(stat.pid, ::getpid());
  EXPECT_EQ(stat.ppid, ::getppid());
  EXPECT_EQ(stat.session, ::getsid(0));
  EXPECT_EQ(stat.exit_signal, SIGCHLD);
  EXPECT_FALSE(stat.is_zombie());
}

TEST(Stat, AZombieKeepsItsWaitStatus) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(7);
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  const Stat stat = read_stat(pid).value();
  EXPECT_TRUE(stat.is_zombie());
  EXPECT_EQ(stat.exit_code, 7 << 8);
  ::waitpid(pid, nullptr, 0);
}

TEST(Stat, AStoppedProcessIsInStateT) {
  TestChild child([] {});
  ::kill(child.pid(), SIGSTOP);
  ASSERT_EQ(::waitpid(child.pid(), nullptr, WUNTRACED), child.pid());
  EXPECT_EQ(read_stat(child.pid()).value().state, 'T');
  StoppedThread stopped(child.pid());
  EXPECT_EQ(read_stat(child.pid()).value().state, 't');  // who is traced is in t, stopped or not
}

}  // namespace
}  // namespace perdure::kernel::proc
