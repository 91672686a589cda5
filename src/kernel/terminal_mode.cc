#include "kernel/terminal_mode.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "kernel/control_socket.h"

namespace perdure::kernel {

bool is_terminal(int file) { return ::isatty(file) == 1; }

std::optional<WindowSize> window_size(int file) {
  winsize size = {};
  if (::ioctl(file, TIOCGWINSZ, &size) < 0) return std::nullopt;
  // A serial line or a fresh pty does not know its size.
  if (size.ws_row == 0 || size.ws_col == 0) return WindowSize{};
  return WindowSize{size.ws_row, size.ws_col};
}

Status set_window_size(int file, WindowSize size) {
  winsize wanted = {size.rows, size.columns, 0, 0};
  if (::ioctl(file, TIOCSWINSZ, &wanted) < 0) return Error::system(errno, "resize the terminal");
  return Ok{};
}

Result<size_t> read_terminal(int file, MutableBytes buffer) {
  ssize_t got;
  do {
    got = ::read(file, buffer.data(), buffer.size());
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EIO) return size_t{0};
  if (got < 0) return Error::system(errno, "read the terminal");
  return static_cast<size_t>(got);
}

Result<size_t> write_some(int file, Bytes bytes) {
  ssize_t wrote;
  do {
    wrote = ::write(file, bytes.data(), bytes.size());
  } while (wrote < 0 && errno == EINTR);
  if (wrote < 0 && errno == EAGAIN) return size_t{0};
  if (wrote < 0) return Error::system(errno, "write to the terminal");
  return static_cast<size_t>(wrote);
}

Status write_terminal(int file, Bytes bytes) {
  while (!bytes.empty()) {
    ssize_t wrote = ::write(file, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) {
      PD_TRY(wait_writable(file, std::chrono::milliseconds(-1)));
      continue;
    }
    if (wrote < 0) return Error::system(errno, "write to the terminal");
    bytes = bytes.subspan(static_cast<size_t>(wrote));
  }
  return Ok{};
}

Result<RawMode> RawMode::enter(int terminal) {
  termios before;
  if (::tcgetattr(terminal, &before) < 0) return Error::system(errno, "read the terminal's mode");
  termios raw = before;
  ::cfmakeraw(&raw);
  if (::tcsetattr(terminal, TCSADRAIN, &raw) < 0) {
    return Error::system(errno, "put the terminal into raw mode");
  }
  return RawMode(terminal, before);
}

RawMode::RawMode(RawMode&& other) noexcept
    : terminal_(std::exchange(other.terminal_, -1)), before_(other.before_) {}

void RawMode::leave() {
  if (terminal_ < 0) return;
  // A hung-up terminal cannot be restored, and nobody sees it any more.
  (void)::tcsetattr(std::exchange(terminal_, -1), TCSADRAIN, &before_);
}

}  // namespace perdure::kernel
