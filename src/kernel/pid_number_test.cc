#include "kernel/pid_number.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/test_child.h"

namespace perdure::kernel {
namespace {

TEST(PidNumber, IsTakenByAProcessAndFreeAfterItWasWaitedFor) {
  pid_t pid = 0;
  {
    const TestChild child([] {});
    pid = child.pid();
    EXPECT_TRUE(is_number_taken(pid).value());
  }
  EXPECT_FALSE(is_number_taken(pid).value());
}

TEST(PidNumber, IsTakenByAProcessGroupWhoseLeaderHasEnded) {
  const pid_t leader = ::fork();
  if (leader == 0) {
    ::setpgid(0, 0);
    ::pause();
  }
  ASSERT_TRUE(::setpgid(leader, leader) == 0 || errno == EACCES);
  const TestChild member([leader] { PD_ASSERT(::setpgid(0, leader) == 0); });
  ASSERT_EQ(::kill(leader, SIGKILL), 0);
  ASSERT_EQ(::waitpid(leader, nullptr, 0), leader);
  EXPECT_EQ(::kill(leader, 0), -1);
  EXPECT_TRUE(is_number_taken(leader).value());
}

}  // namespace
}  // namespace perdure::kernel
