#include "kernel/proc/limits.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace perdure::kernel::proc {
namespace {

TEST(Limits, OurOwnLimitsAreThoseOfGetrlimit) {
  const auto limits = read_limits(::getpid()).value();
  ASSERT_EQ(limits.size(), static_cast<size_t>(RLIM_NLIMITS));
  for (uint32_t resource = 0; resource < RLIM_NLIMITS; ++resource) {
    rlimit64 expected;
    ASSERT_EQ(::getrlimit64(static_cast<__rlimit_resource>(resource), &expected), 0);
    EXPECT_EQ(limits[resource].resource, resource);
    EXPECT_EQ(limits[resource].soft, expected.rlim_cur) << limit_name(resource);
    EXPECT_EQ(limits[resource].hard, expected.rlim_max) << limit_name(resource);
  }
}

TEST(Limits, AMissingOrUnknownLineIsRefused) {
  EXPECT_FALSE(parse_limits("Limit  Soft Limit  Hard Limit  Units\n").ok());
  EXPECT_FALSE(parse_limits("Max dreams  1  2  bytes\n").ok());
  EXPECT_FALSE(parse_limits("Max open files  many  2  files\n").ok());
}

}  // namespace
}  // namespace perdure::kernel::proc
