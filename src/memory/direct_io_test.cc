#include "memory/direct_io.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/fd.h"

namespace perdure::memory {
namespace {

TEST(MayReadDirectly, IsSoWhileAFileIsOpenWithTheFlag) {
  EXPECT_FALSE(may_read_directly(getpid()).value());
  Fd file = Fd::adopt(open(".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  if (!file.valid()) GTEST_SKIP() << "this file system has no O_TMPFILE";
  int flags = fcntl(file.get(), F_GETFL);
  if (fcntl(file.get(), F_SETFL, flags | O_DIRECT) != 0)
    GTEST_SKIP() << "this file system has no O_DIRECT";
  EXPECT_TRUE(may_read_directly(getpid()).value());
  file.reset();
  EXPECT_FALSE(may_read_directly(getpid()).value());
}

TEST(MayReadDirectly, PacketPipesAreNoDirectFiles) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_DIRECT), 0);
  Fd in = Fd::adopt(ends[0]), out = Fd::adopt(ends[1]);
  EXPECT_FALSE(may_read_directly(getpid()).value());
}

}  // namespace
}  // namespace perdure::memory
