#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "kernel/pty.h"
#include "trip.h"

namespace perdure::trip {
namespace {

void make_pty_at(int master, int slave) {
  place(::posix_openpt(O_RDWR | O_NOCTTY), master);
  REQUIRE(::grantpt(master) == 0);
  REQUIRE(::unlockpt(master) == 0);
  place(::open(::ptsname(master), O_RDWR | O_NOCTTY), slave);
}

// Until so many bytes can be read.
void wait_for(int fd, int bytes) {
  int waiting = 0;
  while (waiting < bytes) {
    struct pollfd ready = {fd, POLLIN, 0};
    REQUIRE(::poll(&ready, 1, 1000) == 1);
    REQUIRE(::ioctl(fd, FIONREAD, &waiting) == 0);
  }
}

TEST(Pty, ModesSizeAndQueuesComeBack) {
  Plan plan;
  plan.processes = 2;
  plan.set_up = [] {
    make_pty_at(20, 21);
    const winsize size = {33, 111, 5, 6};
    REQUIRE(::ioctl(20, TIOCSWINSZ, &size) == 0);
    write_text(20, "first line\nhalf a l");
    wait_for(20, 20);  // its echo
    write_text(21, "shown\n");
  };
  plan.check = [](int index) {
    if (index != 0) return;
    winsize size = {};
    REQUIRE(::ioctl(21, TIOCGWINSZ, &size) == 0);
    REQUIRE(size.ws_row == 33 && size.ws_col == 111 && size.ws_xpixel == 5 && size.ws_ypixel == 6);
    REQUIRE(read_text(21) == "first line\n");
    write_text(20, "ine\n");
    REQUIRE(read_text(21) == "half a line\n");
    std::string screen;
    make_nonblocking(20);
    const std::string expected = "first line\r\nhalf a lshown\r\nine\r\n";
    while (screen.size() < expected.size()) {
      struct pollfd ready = {20, POLLIN, 0};
      REQUIRE(::poll(&ready, 1, 1000) == 1);
      screen += read_text(20);
    }
    REQUIRE(screen == expected);
  };
  expect_round_trip(plan);
}

TEST(Pty, RawModeAndPacketModeComeBack) {
  Plan plan;
  plan.set_up = [] {
    make_pty_at(20, 21);
    termios modes;
    REQUIRE(::tcgetattr(21, &modes) == 0);
    ::cfmakeraw(&modes);
    modes.c_cc[VMIN] = 3;
    REQUIRE(::tcsetattr(21, TCSANOW, &modes) == 0);
    write_text(20, "ab");
    int on = 1;
    REQUIRE(::ioctl(20, TIOCPKT, &on) == 0);
    write_text(21, "out");
    make_nonblocking(20);
    make_nonblocking(21);
  };
  plan.check = [](int) {
    termios modes;
    REQUIRE(::tcgetattr(21, &modes) == 0);
    REQUIRE((modes.c_lflag & (ICANON | ECHO)) == 0 && modes.c_cc[VMIN] == 3);
    REQUIRE(read_text(21) == "ab");
    REQUIRE(read_text(20) == std::string("\0out", 4));
  };
  expect_round_trip(plan);
}

TEST(Pty, AClosedSlaveHangsUpAndAnUnopenedOneDoesNot) {
  Plan plan;
  plan.set_up = [] {
    make_pty_at(20, 21);
    write_text(21, "bye");
    ::close(21);
    place(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK), 22);
  };
  plan.check = [](int) {
    REQUIRE(read_text(20) == "bye");
    REQUIRE(::read(20, nullptr, 0) <= 0);
    char byte;
    REQUIRE(::read(20, &byte, 1) < 0 && errno == EIO);
    REQUIRE(::read(22, &byte, 1) < 0 && errno == EAGAIN);
    REQUIRE(kernel::is_pty_locked(22).value());
  };
  expect_round_trip(plan);
}

TEST(Pty, TheIndexIsTheSameOrTheRestoreIsRefused) {
  Plan plan;
  plan.set_up = [] { make_pty_at(20, 21); };
  plan.check = [](int) {};
  Group group(plan);
  ASSERT_TRUE(group.capture().ok());
  const uint32_t index = group.file(20).pty().index();
  group.set_check([index](int) { REQUIRE(kernel::pty_index(20).value() == index); });
  EXPECT_EQ(group.restore(), "");
  std::vector<int> taken;
  do {
    taken.push_back(::posix_openpt(O_RDWR | O_NOCTTY));
  } while (kernel::pty_index(taken.back()).value() < index);
  restore::FileBuildOptions shared;
  shared.fresh_namespaces = false;
  EXPECT_NE(group.restore(shared).find("terminal /dev/pts/" + std::to_string(index) + " is in use"),
            std::string::npos);
  // With mounts of its own, the group does not mind.
  EXPECT_EQ(group.restore(), "");
  for (const int fd : taken) ::close(fd);
}

TEST(StandardStream, ATerminalForAllThreeMayComeBackAsTwoStreams) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_EQ(::unlockpt(master), 0);
  const std::string name = ::ptsname(master);
  Plan plan;
  plan.set_up = [&] {
    place(::open(name.c_str(), O_RDWR | O_NOCTTY), 0);
    for (const int fd : {1, 2, 30}) REQUIRE(::dup2(0, fd) == fd);
    place(::open(name.c_str(), O_RDWR | O_NOCTTY), 31);  // as a shell does
  };
  plan.check = [](int) {};
  Group group(plan);
  const Status captured = group.capture();
  ASSERT_TRUE(captured.ok()) << captured.error().to_string();
  EXPECT_EQ(group.file(0).standard_stream().number(), 0);
  EXPECT_EQ(group.file(1).standard_stream().number(), 1);
  EXPECT_EQ(&group.file(1), &group.file(2));
  EXPECT_EQ(&group.file(1), &group.file(30));
  EXPECT_TRUE(group.file(31).has_standard_stream());
  ::close(master);
}

TEST(Pty, ATerminalFromOutsideIsRefusedUnlessItIsTheGroups) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_EQ(::unlockpt(master), 0);
  const std::string name = ::ptsname(master);
  Plan plan;
  plan.set_up = [&] {
    place(::open(name.c_str(), O_RDWR | O_NOCTTY), 20);
    place(::open(name.c_str(), O_WRONLY | O_NOCTTY), 21);
  };
  plan.check = [](int) { write_text(21, "to the terminal"); };
  Group group(plan);
  const Status refused = group.capture();
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("fd 20: terminal " + name), std::string::npos)
      << refused.error().message();
  capture::FileOptions options;
  struct stat file;
  ASSERT_EQ(::stat(name.c_str(), &file), 0);
  options.terminal = file.st_rdev;
  ASSERT_TRUE(group.capture(options).ok());
  EXPECT_TRUE(group.file(21).pty().group_terminal());
  const int other = ::posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_EQ(::unlockpt(other), 0);
  const int slave = ::open(::ptsname(other), O_RDWR | O_NOCTTY);
  restore::FileBuildOptions build;
  build.terminal = 3;  // where the harness puts it
  EXPECT_EQ(group.restore(build, slave), "");
  EXPECT_EQ(read_text(other), "to the terminal");
  for (const int fd : {master, other, slave}) ::close(fd);
}

}  // namespace
}  // namespace perdure::trip
