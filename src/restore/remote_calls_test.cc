#include "restore/remote_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "kernel/test_child.h"

namespace perdure::restore {
namespace {

using kernel::Batch;
using kernel::StoppedThread;
using kernel::TestChild;
using testing::HasSubstr;

class RemoteCallsTest : public testing::Test {
 protected:
  RemoteCallsTest()
      : child_([] {}),
        stopped_(child_.pid()),
        batch_(stopped_.batch()),
        calls_(&batch_, "pid 7 (db)") {}

  Status run() {
    PD_ASSERT(stopped_.run(&batch_).ok());
    return calls_.check();
  }

  TestChild child_;
  StoppedThread stopped_;
  Batch batch_;
  RemoteCalls calls_;
};

TEST_F(RemoteCallsTest, CallsThatAnswerAsTheyShouldPass) {
  calls_.add("ask", SYS_getpid);
  calls_.add_expecting(child_.pid(), "ask again", SYS_getpid);
  calls_.add_tolerating(EBADF, "close what is not there", SYS_close, {-1});
  const RemoteAddr value = batch_.in_value(int32_t{5});
  calls_.expect_value(5, value, "read");
  EXPECT_TRUE(run().ok());
}

TEST_F(RemoteCallsTest, TheFirstFailureIsNamedWithTheProcessAndItsRemedy) {
  calls_.add("ask", SYS_getpid);
  calls_.add("close a descriptor", SYS_close, {-1});
  calls_.remedy("for lack of privileges only");
  calls_.add("never done", SYS_getpid);
  const Status failed = run();
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().message(), HasSubstr("pid 7 (db): close a descriptor"));
  EXPECT_EQ(failed.error().error_number(), EBADF);
  EXPECT_EQ(failed.error().remedy(), "");
}

TEST_F(RemoteCallsTest, AnotherErrorThanTheToleratedOneFails) {
  calls_.add_tolerating(EINVAL, "close a descriptor", SYS_close, {-1});
  EXPECT_FALSE(run().ok());
}

TEST_F(RemoteCallsTest, AnotherAnswerThanTheExpectedOneFails) {
  calls_.add_expecting(child_.pid() + 1, "ask", SYS_getpid);
  EXPECT_EQ(run().error().code(), Code::kInternal);
}

TEST_F(RemoteCallsTest, AnotherValueThanTheExpectedOneFails) {
  calls_.add("ask", SYS_getpid);
  calls_.expect_value(6, batch_.in_value(int32_t{5}), "get timer 6");
  const Status failed = run();
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().message(), HasSubstr("get timer 6: got 5 instead of 6"));
}

}  // namespace
}  // namespace perdure::restore
