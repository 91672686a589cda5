#include "cli/detach_key.h"

#include <gtest/gtest.h>

namespace perdure::cli {
namespace {

struct Row {
  std::string typed;
  std::string passed;
  bool seen;
};

TEST(DetachKey, OnlyTheKeyItselfIsTaken) {
  const Row table[] = {
      {"hello\r", "hello\r", false},
      {"a\x1d"
       "db",
       "a", true},
      {"\x1d"
       "d",
       "", true},
      {"\x1d\x1d", "\x1d", false},
      {"\x1d\x1d"
       "d",
       "\x1d"
       "d",
       false},
      {"\x1dx", "\x1dx", false},
      {"\x1d", "", false},
      {"d", "d", false},
  };
  for (const Row& row : table) {
    // In one read, and byte by byte.
    for (size_t step : {row.typed.size(), size_t{1}}) {
      DetachKey key;
      std::string passed;
      for (size_t at = 0; at < row.typed.size(); at += step) {
        std::string part = row.typed.substr(at, step);
        passed += key.pass(Bytes(reinterpret_cast<const uint8_t*>(part.data()), part.size()));
      }
      EXPECT_EQ(passed, row.passed) << row.typed;
      EXPECT_EQ(key.seen(), row.seen) << row.typed;
    }
  }
}

}  // namespace
}  // namespace perdure::cli
