#include "kernel/pty.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

// <asm/termbits.h> and <termios.h> cannot be included together, so these come from the kernel's
// ABI.
namespace perdure::kernel {
namespace {

constexpr unsigned long kTcgets2 = 0x802c542a;
constexpr unsigned long kTcsets2 = 0x402c542b;
constexpr unsigned long kTiocgptpeer = 0x5441;
constexpr unsigned long kTiocgpkt = 0x80045438;
constexpr unsigned long kTiocgptlck = 0x80045439;
constexpr unsigned long kTiocgexcl = 0x80045440;
constexpr unsigned long kTiocgdev = 0x80045432;
constexpr unsigned kUnix98SlaveFirst = 136;
constexpr unsigned kUnix98SlaveLast = 143;

Error failure(const char* operation, int fd) {
  return Error::system(errno, operation, "terminal " + std::to_string(fd));
}

Result<int> read_int(int fd, unsigned long request, const char* operation) {
  int value = 0;
  if (::ioctl(fd, request, &value) != 0) return failure(operation, fd);
  return value;
}

Status write_int(int fd, unsigned long request, int value, const char* operation) {
  if (::ioctl(fd, request, &value) != 0) return failure(operation, fd);
  return {};
}

pid_t read_pid(int fd, unsigned long request) {
  pid_t pid = 0;
  return ::ioctl(fd, request, &pid) == 0 ? pid : 0;
}

}  // namespace

bool is_pty_slave(dev_t device) {
  return major(device) >= kUnix98SlaveFirst && major(device) <= kUnix98SlaveLast;
}

bool is_pty_master(dev_t device) { return device == makedev(5, 2); }

bool is_own_terminal(dev_t device) { return device == makedev(5, 0); }

Result<dev_t> terminal_device(int fd) {
  const auto encoded = static_cast<uint32_t>(PD_TRY(read_int(fd, kTiocgdev, "read the device of")));
  // new_encode_dev() in the kernel.
  return static_cast<dev_t>(
      makedev((encoded & 0xfff00) >> 8, (encoded & 0xff) | ((encoded >> 12) & 0xfff00)));
}

Result<uint32_t> pty_index(int master) {
  return static_cast<uint32_t>(PD_TRY(read_int(master, TIOCGPTN, "read the number of")));
}

Result<Termios2> terminal_modes(int fd) {
  Termios2 modes = {};
  if (::ioctl(fd, kTcgets2, &modes) != 0) return failure("read the modes of", fd);
  return modes;
}

Status set_terminal_modes(int fd, const Termios2& modes) {
  if (::ioctl(fd, kTcsets2, &modes) != 0) return failure("set the modes of", fd);
  return {};
}

Result<TerminalWindow> terminal_window(int fd) {
  TerminalWindow window = {};
  if (::ioctl(fd, TIOCGWINSZ, &window) != 0) return failure("read the size of", fd);
  return window;
}

Status set_terminal_window(int fd, const TerminalWindow& window) {
  if (::ioctl(fd, TIOCSWINSZ, &window) != 0) return failure("set the size of", fd);
  return {};
}

pid_t terminal_session(int master) { return read_pid(master, TIOCGSID); }
pid_t terminal_foreground(int master) { return read_pid(master, TIOCGPGRP); }

Result<bool> is_pty_locked(int master) {
  return PD_TRY(read_int(master, kTiocgptlck, "read the lock of")) != 0;
}

Status set_pty_locked(int master, bool locked) {
  return write_int(master, TIOCSPTLCK, locked ? 1 : 0, "set the lock of");
}

Result<bool> is_pty_packet(int master) {
  return PD_TRY(read_int(master, kTiocgpkt, "read the packet mode of")) != 0;
}

Status set_pty_packet(int master, bool packet) {
  return write_int(master, TIOCPKT, packet ? 1 : 0, "set the packet mode of");
}

Result<bool> is_terminal_exclusive(int fd) {
  return PD_TRY(read_int(fd, kTiocgexcl, "read the exclusive mode of")) != 0;
}

Status set_terminal_exclusive(int fd) {
  if (::ioctl(fd, TIOCEXCL) != 0) return failure("set the exclusive mode of", fd);
  return {};
}

Status mount_fresh_ptys() {
  constexpr unsigned long kFlags = MS_NOSUID | MS_NOEXEC;
  if (::mount("devpts", "/dev/pts", "devpts", kFlags, "newinstance,ptmxmode=0666,mode=0620") != 0) {
    return Error::system(errno, "mount", "/dev/pts");
  }
  struct stat ptmx;
  const bool is_link = ::lstat("/dev/ptmx", &ptmx) == 0 && S_ISLNK(ptmx.st_mode);
  if (is_link) return {};
  if (::mount("/dev/pts/ptmx", "/dev/ptmx", nullptr, MS_BIND, nullptr) != 0) {
    return Error::system(errno, "mount", "/dev/ptmx");
  }
  return {};
}

Result<int> terminal_waiting(int fd) { return read_int(fd, FIONREAD, "read the queue of"); }

Result<Fd> open_pty_peer(int master, int flags) {
  const int fd = ::ioctl(master, kTiocgptpeer, flags | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return failure("open the other end of", master);
  return Fd::adopt(fd);
}

Status start_terminal_output(int fd) {
  constexpr int kOn = 1;  // TCOON
  if (::ioctl(fd, TCXONC, kOn) != 0) return failure("start the output of", fd);
  return {};
}

}  // namespace perdure::kernel
