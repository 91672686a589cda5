#include "kernel/signal_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace perdure::kernel {
namespace {

TEST(SignalFile, SignalsBecomeEventsAndTheMaskComesBack) {
  sigset_t before, after;
  ::sigprocmask(SIG_BLOCK, nullptr, &before);
  {
    SignalFile file = SignalFile::create({SIGUSR1, SIGUSR2}).value();
    EXPECT_EQ(file.take(), std::nullopt);
    ASSERT_TRUE(send_signal(::getpid(), SIGUSR2).ok());
    EXPECT_EQ(file.take(), SIGUSR2);
    EXPECT_EQ(file.take(), std::nullopt);
  }
  ::sigprocmask(SIG_BLOCK, nullptr, &after);
  EXPECT_EQ(::sigismember(&after, SIGUSR1), ::sigismember(&before, SIGUSR1));
}

TEST(SignalFile, AProcessThatIsNotThereIsGone) {
  // Above pid_max on 64-bit Linux.
  EXPECT_EQ(send_signal(1 << 23, SIGTERM).error().code(), Code::kGone);
}

}  // namespace
}  // namespace perdure::kernel
