#include "kernel/pty_queue.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <cstring>

#include "base/fd.h"
#include "kernel/file.h"
#include "kernel/pty.h"

namespace perdure::kernel {
namespace {

struct Pair {
  Fd master;
  Fd slave;
};

Pair make_pair() {
  Pair pair;
  pair.master = Fd::adopt(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  EXPECT_EQ(::unlockpt(pair.master.get()), 0);
  pair.slave = std::move(open_pty_peer(pair.master.get(), O_RDWR)).value();
  return pair;
}

void set_raw(const Pair& pair) {
  termios modes;
  ASSERT_EQ(::tcgetattr(pair.slave.get(), &modes), 0);
  ::cfmakeraw(&modes);
  ASSERT_EQ(::tcsetattr(pair.slave.get(), TCSANOW, &modes), 0);
}

void type(const Fd& to, const std::string& text) {
  ASSERT_EQ(::write(to.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

std::string read_now(const Fd& from) {
  EXPECT_TRUE(set_status_flags(from.get(), O_RDWR | O_NONBLOCK).ok());
  std::string all;
  while ((poll_now(from.get(), POLLIN).value() & POLLIN) != 0) {
    auto piece = read_some(from.get(), 65536);
    if (!piece.ok() || !*piece || (*piece)->empty()) break;
    all += **piece;
  }
  return all;
}

TEST(PtyQueue, RawBytesStayInBothDirections) {
  const Pair pair = make_pair();
  set_raw(pair);
  const std::string keys("\x03\x13\0\r\n\x04key", 9);
  type(pair.master, keys);
  type(pair.slave, "screen\n");
  for (int round = 0; round < 2; ++round) {
    const PtyQueues queues = peek_pty_queues(pair.master.get(), pair.slave.get()).value();
    EXPECT_EQ(queues.input, keys);
    EXPECT_EQ(queues.output, "screen\n");
  }
  EXPECT_EQ(read_now(pair.slave), keys);
  EXPECT_EQ(read_now(pair.master), "screen\n");
}

TEST(PtyQueue, LinesEndOfFileAndAHalfTypedLineStay) {
  const Pair pair = make_pair();
  type(pair.master, "one\ntwo\nabc\x04\x04half");
  const std::string echo = "one\r\ntwo\r\nabchalf";
  for (int round = 0; round < 2; ++round) {
    const PtyQueues queues = peek_pty_queues(pair.master.get(), pair.slave.get()).value();
    EXPECT_EQ(queues.input, "one\ntwo\nabchalf");
    EXPECT_EQ(queues.lines, (std::vector<uint32_t>{4, 4, 3, 0}));
    EXPECT_EQ(queues.ended, (std::vector<bool>{false, false, true, true}));
    EXPECT_EQ(queues.output, echo);
  }
  EXPECT_EQ(read_some(pair.slave.get(), 100).value().value(), "one\n");
  EXPECT_EQ(read_some(pair.slave.get(), 100).value().value(), "two\n");
  EXPECT_EQ(read_some(pair.slave.get(), 100).value().value(), "abc");
  EXPECT_EQ(read_some(pair.slave.get(), 100).value().value(), "");
  type(pair.master, " more\n");
  EXPECT_EQ(read_some(pair.slave.get(), 100).value().value(), "half more\n");
  EXPECT_EQ(read_now(pair.master), echo + " more\r\n");
}

TEST(PtyQueue, ModesAndFlagsAreAsBefore) {
  const Pair pair = make_pair();
  type(pair.master, "x");
  const Termios2 before = terminal_modes(pair.master.get()).value();
  ASSERT_TRUE(peek_pty_queues(pair.master.get(), pair.slave.get()).ok());
  const Termios2 after = terminal_modes(pair.master.get()).value();
  EXPECT_EQ(memcmp(&before, &after, sizeof(before)), 0);
  EXPECT_EQ(status_flags(pair.slave.get()).value() & O_NONBLOCK, 0);
  EXPECT_EQ(status_flags(pair.master.get()).value() & O_NONBLOCK, 0);
}

TEST(PtyQueue, AHungUpPairStaysHungUpWithItsOutput) {
  Pair pair = make_pair();
  type(pair.slave, "last words\n");
  pair.slave.reset();
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(peek_pty_queues(pair.master.get(), -1).value().output, "last words\r\n");
  }
  EXPECT_TRUE((poll_now(pair.master.get(), POLLIN).value() & POLLHUP) != 0);
  EXPECT_EQ(read_now(pair.master), "last words\r\n");
}

TEST(PtyQueue, AStoppedOutputIsLeftAlone) {
  const Pair pair = make_pair();
  type(pair.slave, "seen\n");
  ASSERT_EQ(::tcflow(pair.slave.get(), TCOOFF), 0);
  const auto refused = peek_pty_queues(pair.master.get(), pair.slave.get());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kBusy);
  EXPECT_EQ(read_now(pair.master), "seen\r\n");
}

TEST(PtyQueue, AFreshPairIsFilledWithWhatWasSaved) {
  const Pair pair = make_pair();
  PtyQueues queues;
  queues.input = "line\nhalf";
  queues.lines = {5};
  queues.ended = {false};
  queues.output = "shown\r\n";
  ASSERT_TRUE(fill_pty_queues(pair.master.get(), pair.slave.get(), queues).ok());
  EXPECT_EQ(read_now(pair.master), "shown\r\n");
  EXPECT_EQ(read_some(pair.slave.get(), 100).value().value(), "line\n");
}

}  // namespace
}  // namespace perdure::kernel
