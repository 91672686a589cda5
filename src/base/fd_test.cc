#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace perdure {
namespace {

bool is_open(int number) { return fcntl(number, F_GETFD) >= 0; }

TEST(Fd, ClosesWhatItOwnsOnce) {
  int number = dup(0);
  { Fd owner = Fd::adopt(number); }
  EXPECT_FALSE(is_open(number));
}

TEST(Fd, MovedFromOwnsNothing) {
  Fd first = Fd::adopt(dup(0));
  int number = first.get();
  Fd second = std::move(first);
  EXPECT_FALSE(first.valid());  // NOLINT: what is moved from stays valid
  EXPECT_EQ(second.get(), number);
  EXPECT_TRUE(is_open(number));
}

}  // namespace
}  // namespace perdure
