// The user's terminal: raw mode while a group's terminal is shown on it, its size, and its
// restoration.
#pragma once

#include <termios.h>

#include <optional>

#include "base/bytes.h"
#include "base/result.h"

namespace perdure::kernel {

struct WindowSize {
  uint16_t rows = 24;
  uint16_t columns = 80;
};

bool is_terminal(int file);
// None where the file is not a terminal.
std::optional<WindowSize> window_size(int file);
Status set_window_size(int file, WindowSize size);

// What is there to read now, at most the buffer; 0 at the end. A pty whose other side is closed
// reads as ended.
Result<size_t> read_terminal(int file, MutableBytes buffer);
// Writes what a non-blocking terminal takes now; may be 0.
Result<size_t> write_some(int file, Bytes bytes);
// Writes everything, waiting as long as it takes.
Status write_terminal(int file, Bytes bytes);

// Puts a terminal into raw mode and gives it back as it was.
class RawMode {
 public:
  static Result<RawMode> enter(int terminal);
  RawMode(RawMode&& other) noexcept;
  RawMode& operator=(RawMode&&) = delete;
  RawMode(const RawMode&) = delete;
  ~RawMode() { leave(); }
  void leave();

 private:
  RawMode(int terminal, const termios& before) : terminal_(terminal), before_(before) {}
  int terminal_;
  termios before_;
};

}  // namespace perdure::kernel
