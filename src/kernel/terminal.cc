#include "kernel/terminal.h"

#include <asm/termbits.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace perdure::kernel {
namespace {

// TIOCGPTPEER (ioctl_tty(2)): the slave, whatever /dev/pts is in this mount namespace.
Result<Fd> open_slave(const Fd& master) {
  Fd slave = Fd::adopt(ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave.valid()) return Error::system(errno, "open", "the slave of a pty");
  return slave;
}

}  // namespace

Result<TerminalPair> open_terminal(uint16_t rows, uint16_t columns) {
  TerminalPair pair;
  pair.master = Fd::adopt(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pair.master.valid()) return Error::system(errno, "open", "/dev/ptmx");
  int unlock = 0;
  if (ioctl(pair.master.get(), TIOCSPTLCK, &unlock) != 0)
    return Error::system(errno, "unlock", "a pty");
  pair.slave = PD_TRY(open_slave(pair.master));
  winsize size{rows, columns, 0, 0};
  if (ioctl(pair.master.get(), TIOCSWINSZ, &size) != 0)
    return Error::system(errno, "set the size of", "a pty");
  pair.device = PD_TRY(slave_device(pair.master));
  return pair;
}

Result<dev_t> slave_device(const Fd& master) {
  Fd slave = PD_TRY(open_slave(master));
  struct stat status {};
  if (fstat(slave.get(), &status) != 0) return Error::system(errno, "stat", "a pty");
  return status.st_rdev;
}

Status set_terminal_settings(const Fd& terminal, const std::string& termios) {
  if (termios.empty()) return {};
  termios2 settings{};
  if (termios.size() != sizeof(settings))
    return Error(Code::kCorrupt, "the saved terminal settings have another size");
  std::memcpy(&settings, termios.data(), sizeof(settings));
  if (ioctl(terminal.get(), TCSETS2, &settings) != 0)
    return Error::system(errno, "set up", "a pty");
  return {};
}

}  // namespace perdure::kernel
