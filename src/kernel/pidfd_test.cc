#include "kernel/pidfd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace perdure::kernel {
namespace {

TEST(Pidfd, BecomesReadableWhenTheProcessEnds) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  Fd pidfd = std::move(pidfd_open(child)).value();
  pollfd watched = {.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&watched, 1, 10'000), 1);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

TEST(Pidfd, OfAProcessThatIsGoneIsSaidToBeGone) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  Result<Fd> pidfd = pidfd_open(child);
  ASSERT_FALSE(pidfd.ok());
  EXPECT_EQ(pidfd.error().code(), Code::kGone);
}

TEST(CloseRange, ClosesTheLastOfTheRangeToo) {
  const pid_t child = fork();
  if (child == 0) {
    dup2(0, 900);
    dup2(0, 901);
    dup2(0, 902);
    close_range(900, 901);
    const bool right =
        fcntl(900, F_GETFD) < 0 && fcntl(901, F_GETFD) < 0 && fcntl(902, F_GETFD) >= 0;
    _exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Rseq, CanBeRegisteredAnewOnceGivenUp) {
  if (__rseq_size == 0) GTEST_SKIP() << "this libc registers no restartable sequence";
  const pid_t child = fork();
  if (child == 0) {
    unregister_rseq();
    alignas(32) static char area[32] = {};
    _exit(syscall(SYS_rseq, area, sizeof(area), 0, RSEQ_SIG) == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace perdure::kernel
