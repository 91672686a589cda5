#include "daemon/ring.h"

#include <gtest/gtest.h>

namespace perdure::daemon {
namespace {

void write(Ring& ring, const std::string& text) {
  ring.write(Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

TEST(Ring, GivesWhatWasWritten) {
  Ring ring(8);
  write(ring, "abc");
  write(ring, "de");
  EXPECT_EQ(ring.take(), "abcde");
  EXPECT_EQ(ring.take(), "");
}

TEST(Ring, OldestBytesGoFirst) {
  Ring ring(8);
  write(ring, "abcdef");
  EXPECT_FALSE(ring.overflowed());
  write(ring, "ghij");
  EXPECT_TRUE(ring.overflowed());
  EXPECT_EQ(ring.take(), "cdefghij");
  EXPECT_FALSE(ring.overflowed());
}

TEST(Ring, KeepsTheEndOfALongWrite) {
  Ring ring(4);
  write(ring, "x");
  write(ring, "0123456789");
  EXPECT_EQ(ring.take(), "6789");
}

TEST(Ring, IsAWindowOverAnyStream) {
  for (size_t capacity = 1; capacity <= 9; ++capacity) {
    Ring ring(capacity);
    std::string all;
    for (size_t step = 0; step < 50; ++step) {
      std::string part(step % 7, static_cast<char>('a' + step % 26));
      write(ring, part);
      all += part;
    }
    EXPECT_EQ(ring.take(), all.substr(all.size() - std::min(all.size(), capacity)));
  }
}

}  // namespace
}  // namespace perdure::daemon
