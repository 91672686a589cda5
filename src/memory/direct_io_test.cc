#include "memory/direct_io.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/task_images.h"

namespace perdure::memory {
namespace {

class MayReadDirectly : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!GetParam()) return;
    images_.make();
    if (images_.files() == nullptr) GTEST_SKIP() << "needs the feature task_images";
  }
  bool ask() { return may_read_directly(getpid(), GetParam() ? &images_ : nullptr).value(); }

 private:
  kernel::LazyTaskImages images_;
};

TEST_P(MayReadDirectly, IsSoWhileAFileIsOpenWithTheFlag) {
  EXPECT_FALSE(ask());
  Fd file = Fd::adopt(open(".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  if (!file.valid()) GTEST_SKIP() << "this file system has no O_TMPFILE";
  int flags = fcntl(file.get(), F_GETFL);
  if (fcntl(file.get(), F_SETFL, flags | O_DIRECT) != 0)
    GTEST_SKIP() << "this file system has no O_DIRECT";
  EXPECT_TRUE(ask());
  file.reset();
  EXPECT_FALSE(ask());
}

TEST_P(MayReadDirectly, PacketPipesAreNoDirectFiles) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_DIRECT), 0);
  Fd in = Fd::adopt(ends[0]), out = Fd::adopt(ends[1]);
  EXPECT_FALSE(ask());
}

INSTANTIATE_TEST_SUITE_P(Images, MayReadDirectly, ::testing::Bool());

}  // namespace
}  // namespace perdure::memory
