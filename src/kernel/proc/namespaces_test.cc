#include "kernel/proc/namespaces.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include "kernel/features.h"
#include "kernel/test_child.h"

namespace perdure::kernel::proc {
namespace {

TEST(Namespaces, AChildSharesAllOfThem) {
  TestChild child([] {});
  const auto ours = read_namespaces(::getpid()).value();
  const auto its = read_namespaces(child.pid()).value();
  EXPECT_EQ(ours.link(Namespace::kNetwork).substr(0, 5), "net:[");
  EXPECT_FALSE(ours.first_difference(its));
}

TEST(Namespaces, TheOneThatDiffersIsNamed) {
  if (!Features::create("").value().has(Feature::kNamespaces))
    GTEST_SKIP() << "namespaces is missing, see `perdure check`";
  TestChild child([] { ASSERT_EQ(::unshare(CLONE_NEWUTS), 0); });
  const auto its = read_namespaces(child.pid()).value();
  EXPECT_EQ(read_namespaces(::getpid()).value().first_difference(its), Namespace::kUts);
  TestChild parent([] { ASSERT_EQ(::unshare(CLONE_NEWPID), 0); });
  const auto later = read_namespaces(parent.pid()).value();
  EXPECT_EQ(read_namespaces(::getpid()).value().first_difference(later), Namespace::kPidChildren);
}

}  // namespace
}  // namespace perdure::kernel::proc
