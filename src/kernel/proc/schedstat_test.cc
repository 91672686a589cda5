#include "kernel/proc/schedstat.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace perdure::kernel::proc {
namespace {

TEST(Schedstat, HasThreeFields) {
  const Result<RunTime> time = parse_run_time("3469855 17 42\n");
  ASSERT_TRUE(time.ok());
  EXPECT_EQ(time->run_ns, 3469855u);
  EXPECT_EQ(time->slices, 42u);
  EXPECT_FALSE(parse_run_time("").ok());
  EXPECT_FALSE(parse_run_time("1 2").ok());
  EXPECT_FALSE(parse_run_time("1 2 x").ok());
}

TEST(Schedstat, AThreadThatSleptHasRunSince) {
  const pid_t pid = ::getpid();
  const Result<RunTime> before = read_run_time(pid, pid);
  ASSERT_TRUE(before.ok());
  ::usleep(1000);
  const Result<RunTime> after = read_run_time(pid, pid);
  ASSERT_TRUE(after.ok());
  EXPECT_GT(after->slices, before->slices);
}

}  // namespace
}  // namespace perdure::kernel::proc
