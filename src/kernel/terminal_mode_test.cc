#include "kernel/terminal_mode.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>

#include <array>

#include "base/fd.h"

namespace perdure::kernel {
namespace {

class TerminalModeTest : public testing::Test {
 protected:
  void SetUp() override {
    int master = -1, slave = -1;
    ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
    master_ = Fd::adopt(master);
    slave_ = Fd::adopt(slave);
  }
  tcflag_t local_flags() {
    termios mode;
    EXPECT_EQ(::tcgetattr(slave_.get(), &mode), 0);
    return mode.c_lflag;
  }
  Fd master_, slave_;
};

TEST_F(TerminalModeTest, RawModeIsLeftAsItWasEntered) {
  tcflag_t before = local_flags();
  {
    RawMode raw = RawMode::enter(slave_.get()).value();
    EXPECT_EQ(local_flags() & (ICANON | ECHO | ISIG), 0u);
    RawMode moved = std::move(raw);
    EXPECT_EQ(local_flags() & ICANON, 0u);
  }
  EXPECT_EQ(local_flags(), before);
}

TEST_F(TerminalModeTest, SizeIsThatOfTheOtherSide) {
  ASSERT_TRUE(set_window_size(master_.get(), {50, 132}).ok());
  auto size = window_size(slave_.get());
  ASSERT_TRUE(size);
  EXPECT_EQ(size->rows, 50);
  EXPECT_EQ(size->columns, 132);
}

TEST_F(TerminalModeTest, WhatIsNoTerminalSaysSo) {
  Fd null = Fd::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_TRUE(is_terminal(slave_.get()));
  EXPECT_FALSE(is_terminal(null.get()));
  EXPECT_FALSE(window_size(null.get()));
  EXPECT_FALSE(RawMode::enter(null.get()).ok());
}

TEST_F(TerminalModeTest, AClosedOtherSideReadsAsTheEnd) {
  std::string text = "bye\n";
  Bytes bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  ASSERT_TRUE(write_terminal(slave_.get(), bytes).ok());
  slave_.reset();
  std::array<uint8_t, 64> buffer;
  EXPECT_GT(read_terminal(master_.get(), buffer).value(), 0u);
  EXPECT_EQ(read_terminal(master_.get(), buffer).value(), 0u);
}

}  // namespace
}  // namespace perdure::kernel
