// Pseudo terminals (pty(7), ioctl_tty(2)): what a pair keeps, asked of either end.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace perdure::kernel {

// struct termios2 as the kernel has it (asm-generic/termbits.h); Debian's <termios.h> has another
// layout.
struct Termios2 {
  uint32_t input;    // c_iflag
  uint32_t output;   // c_oflag
  uint32_t control;  // c_cflag
  uint32_t local;    // c_lflag
  uint8_t line;
  uint8_t characters[19];
  uint32_t input_speed;
  uint32_t output_speed;
};
static_assert(sizeof(Termios2) == 44);

struct TerminalWindow {
  uint16_t rows, columns, x_pixels, y_pixels;
};
static_assert(sizeof(TerminalWindow) == 8);

// Device numbers (unix98 pty, man 4 tty).
bool is_pty_slave(dev_t device);
bool is_pty_master(dev_t device);    // /dev/ptmx
bool is_own_terminal(dev_t device);  // /dev/tty

// The device behind a terminal descriptor, also behind /dev/tty (TIOCGDEV); of a master: its slave.
Result<dev_t> terminal_device(int fd);
Result<uint32_t> pty_index(int master);

// Of the slave, whichever end is asked.
Result<Termios2> terminal_modes(int fd);
Status set_terminal_modes(int fd, const Termios2& modes);
Result<TerminalWindow> terminal_window(int fd);
Status set_terminal_window(int fd, const TerminalWindow& window);
// Session and foreground process group of the terminal, in our PID namespace; 0: none. Asked of a
// master.
pid_t terminal_session(int master);
pid_t terminal_foreground(int master);

Result<bool> is_pty_locked(int master);
Status set_pty_locked(int master, bool locked);
Result<bool> is_pty_packet(int master);
Status set_pty_packet(int master, bool packet);
Result<bool> is_terminal_exclusive(int fd);
Status set_terminal_exclusive(int fd);

// Mounts a fresh devpts file system, in which every number is free, on /dev/pts and its ptmx on
// /dev/ptmx. For a process in a mount namespace of its own.
Status mount_fresh_ptys();

// Bytes that read(2) would give now (FIONREAD): for a slave in canonical mode, of whole lines only.
Result<int> terminal_waiting(int fd);
// The slave end of a master (TIOCGPTPEER), never as a controlling terminal.
Result<Fd> open_pty_peer(int master, int flags);
// Starts and stops the output of a terminal (tcflow(3)).
Status start_terminal_output(int fd);

}  // namespace perdure::kernel
