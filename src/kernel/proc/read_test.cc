#include "kernel/proc/read.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace perdure::kernel::proc {
namespace {

pid_t dead_pid() {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  ::waitpid(pid, nullptr, 0);
  return pid;
}

TEST(ProcRead, AVanishedProcessIsGoneNotMissing) {
  const pid_t pid = dead_pid();
  EXPECT_EQ(read_text(path_of(pid, "status")).error().code(), Code::kGone);
  EXPECT_EQ(read_link(path_of(pid, "exe")).error().code(), Code::kGone);
  EXPECT_EQ(read_text(path_of(::getpid(), pid, "status")).error().code(), Code::kGone);
  EXPECT_EQ(threads_of(pid).error().code(), Code::kGone);
}

TEST(ProcRead, AFileThatThisKernelLacksIsUnavailable) {
  EXPECT_EQ(read_text(path_of(::getpid(), "no_such_file")).error().code(), Code::kUnavailable);
}

TEST(ProcRead, AFileOutsideOfProcIsNotFound) {
  EXPECT_EQ(read_text("/nonexistent").error().code(), Code::kNotFound);
}

TEST(ProcRead, TheLeaderIsTheFirstOfTheThreads) {
  std::thread other([] {
    const auto tids = threads_of(::getpid()).value();
    EXPECT_GE(tids.size(), 2u);
    EXPECT_EQ(tids.front(), ::getpid());
  });
  other.join();
}

TEST(ProcRead, PartsOfNumbersAreNoNumbers) {
  EXPECT_EQ(parse_unsigned("12"), 12u);
  EXPECT_EQ(parse_unsigned("ff", 16), 255u);
  EXPECT_EQ(parse_signed("-3"), -3);
  EXPECT_FALSE(parse_unsigned("12x"));
  EXPECT_FALSE(parse_unsigned(""));
  EXPECT_FALSE(parse_unsigned("-1"));
}

TEST(ProcRead, SplitLeavesEmptyPartsOut) {
  EXPECT_EQ(split(" a  b ", ' '), (std::vector<std::string_view>{"a", "b"}));
  EXPECT_TRUE(split("", ' ').empty());
  EXPECT_EQ(trimmed(" \tx y\n"), "x y");
  EXPECT_EQ(trimmed(" \n"), "");
}

}  // namespace
}  // namespace perdure::kernel::proc
