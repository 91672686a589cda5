#include "kernel/pipe.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>

#include "kernel/file.h"

namespace perdure::kernel {
namespace {

Bytes bytes(const std::string& text) {
  return Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

TEST(Pipe, LookingTakesNothingOut) {
  auto [reader, writer] = std::move(make_pipe()).value();
  ASSERT_TRUE(write_all(writer.get(), bytes("one")).ok());
  ASSERT_TRUE(write_all(writer.get(), bytes("two")).ok());
  const int capacity = pipe_capacity(reader.get()).value();
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(peek_pipe(reader.get(), capacity).value(), std::vector<std::string>{"onetwo"});
  }
  EXPECT_EQ(read_some(reader.get(), 100).value().value(), "onetwo");
  EXPECT_TRUE(peek_pipe(reader.get(), capacity).value().empty());
}

TEST(Pipe, PacketsKeepTheirBorders) {
  auto [reader, writer] = std::move(make_pipe()).value();
  ASSERT_TRUE(set_status_flags(writer.get(), O_DIRECT).ok());
  ASSERT_TRUE(write_all(writer.get(), bytes("one")).ok());
  ASSERT_TRUE(write_all(writer.get(), bytes("two!")).ok());
  const std::vector<std::string> expected = {"one", "two!"};
  EXPECT_EQ(peek_pipe(reader.get(), pipe_capacity(reader.get()).value()).value(), expected);
}

TEST(Pipe, AFullLargePipeIsSeenWhole) {
  auto [reader, writer] = std::move(make_pipe()).value();
  ASSERT_TRUE(set_pipe_capacity(writer.get(), 1 << 20).ok());
  const std::string content(1 << 20, 'x');
  ASSERT_TRUE(write_all(writer.get(), bytes(content)).ok());
  const auto pieces = peek_pipe(reader.get(), pipe_capacity(reader.get()).value()).value();
  size_t total = 0;
  for (const std::string& piece : pieces) total += piece.size();
  EXPECT_EQ(total, content.size());
}

}  // namespace
}  // namespace perdure::kernel
