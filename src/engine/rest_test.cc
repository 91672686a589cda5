#include "engine/rest.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace perdure::engine {
namespace {

std::optional<Rest> wait_for_rest(pid_t pid) {
  for (int i = 0; i < 10'000; ++i) {
    if (std::optional<Rest> rest = Rest::of({pid})) return rest;
    usleep(1000);
  }
  return std::nullopt;
}

TEST(Rest, IsTheSameUntilSomebodyRuns) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    (void)signal(SIGUSR1, [](int) {});
    for (;;) pause();
  }
  const std::optional<Rest> before = wait_for_rest(child);
  ASSERT_TRUE(before);
  usleep(20'000);
  EXPECT_EQ(Rest::of({child}), before);
  ASSERT_EQ(kill(child, SIGUSR1), 0);
  usleep(20'000);
  const std::optional<Rest> after = wait_for_rest(child);
  ASSERT_TRUE(after);
  EXPECT_NE(after, before);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST(Rest, IsNotOfSomebodyWhoRuns) {
  EXPECT_FALSE(Rest::of({getpid()}));
  EXPECT_TRUE(Rest::of({}));
}

}  // namespace
}  // namespace perdure::engine
