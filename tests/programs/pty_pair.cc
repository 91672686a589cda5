// A pseudo terminal whose both ends belong to the group: data under way, settings, size.

// test: terminal

#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "support/program.h"

int main() {
  int master, slave;
  winsize size = {33, 111, 5, 6};
  SYS(openpty(&master, &slave, nullptr, nullptr, &size));
  termios settings;
  SYS(tcgetattr(slave, &settings));
  settings.c_lflag &= ~tcflag_t(ECHO | ICANON);
  settings.c_oflag &= ~tcflag_t(OPOST);
  settings.c_cc[VMIN] = 1;
  settings.c_cc[VINTR] = 7;
  SYS(tcsetattr(slave, TCSANOW, &settings));
  char name[64], found_name[64];
  SYS(ttyname_r(slave, name, sizeof name));
  CHECK_EQ(SYS(write(master, "typed", 5)), 5);
  CHECK_EQ(SYS(write(slave, "printed\n", 8)), 8);
  SYS(fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK));
  SYS(fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK));
  checkpoint_here();

  termios found;
  SYS(tcgetattr(slave, &found));
  CHECK_EQ(found.c_lflag, settings.c_lflag);
  CHECK_EQ(found.c_oflag, settings.c_oflag);
  CHECK_EQ(found.c_iflag, settings.c_iflag);
  CHECK_EQ(found.c_cflag, settings.c_cflag);
  CHECK_EQ(found.c_cc[VINTR], 7);
  winsize found_size;
  SYS(ioctl(slave, TIOCGWINSZ, &found_size));
  CHECK(memcmp(&size, &found_size, sizeof size) == 0);
  char text[64] = {};
  long got = read(slave, text, sizeof text);
  if (got != 5) FAIL("reading what was typed gave %ld (%s)", got, strerror(errno));
  CHECK_TEXT(text, "typed");
  memset(text, 0, sizeof text);
  got = read(master, text, sizeof text);
  if (got != 8) FAIL("reading what was printed gave %ld (%s)", got, strerror(errno));
  CHECK_TEXT(text, "printed\n");
  SYS(ttyname_r(slave, found_name, sizeof found_name));
  CHECK_TEXT(found_name, name);
  CHECK_EQ(SYS(write(master, "more", 4)), 4);
  pause_ms(5);
  CHECK_EQ(SYS(read(slave, text, sizeof text)), 4);
  close(slave);
  CHECK(read(master, text, 1) == -1 && errno == EIO);  // hung up
  done();
}
