#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

namespace perdure {
namespace {

Result<std::unique_ptr<int>> positive(int value) {
  if (value <= 0) return Error(Code::kInvalid, "not positive").with_remedy("pass 1 or more");
  return std::make_unique<int>(value);
}

Result<int> twice(int value) {
  std::unique_ptr<int> held = PD_TRY_WITHIN("twice", positive(value));
  return *held * 2;
}

Status check(int value) {
  PD_TRY(twice(value));
  return {};
}

TEST(Result, ValueMovesThroughTry) {
  EXPECT_EQ(twice(21).value(), 42);
  EXPECT_TRUE(check(1).ok());
}

TEST(Result, ErrorGathersContextAndKeepsRemedy) {
  Result<int> failed = twice(0);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().to_string(), "twice: not positive (pass 1 or more)");
  EXPECT_EQ(check(-1).error().code(), Code::kInvalid);
}

TEST(Result, SystemErrorNamesOperationObjectAndReason) {
  Error error = Error::system(ENOENT, "open", "/nowhere");
  EXPECT_EQ(error.to_string(), "open /nowhere: No such file or directory");
  EXPECT_EQ(error.code(), Code::kNotFound);
  EXPECT_EQ(error.error_number(), ENOENT);
  EXPECT_EQ(Error::system(ESTALE, "fstat").code(), Code::kNotFound);
}

}  // namespace
}  // namespace perdure
