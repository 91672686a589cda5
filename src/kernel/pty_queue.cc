#include "kernel/pty_queue.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "kernel/file.h"
#include "kernel/pty.h"

namespace perdure::kernel {
namespace {

// asm-generic/termbits.h
constexpr uint32_t kIxon = 0x0400;
constexpr uint32_t kIcanon = 0x0002;
constexpr uint32_t kEcho = 0x0008;
constexpr uint32_t kExtproc = 0x10000;
constexpr size_t kVeof = 4;
// N_TTY_BUF_SIZE: a line is never longer.
constexpr size_t kLineBytesMax = 4096;
// Tty buffers hold at most 64 KiB beyond a line discipline's 4 KiB.
constexpr size_t kQueueBytesMax = 256 * 1024;
constexpr int kEchoWaitMs = 10'000;
constexpr int kTimeGivenMs = 200;

Bytes bytes_of_text(std::string_view text) {
  return Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// O_NONBLOCK on a description for a while.
class NonblockGuard {
 public:
  static Result<NonblockGuard> hold(int fd) {
    const int flags = PD_TRY(status_flags(fd));
    PD_TRY(set_status_flags(fd, flags | O_NONBLOCK));
    return NonblockGuard(fd, flags);
  }
  NonblockGuard(NonblockGuard&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), flags_(other.flags_) {}
  NonblockGuard& operator=(NonblockGuard&&) = delete;
  ~NonblockGuard() {
    if (fd_ >= 0)
      (void)set_status_flags(fd_, flags_);  // fails only for a terminal that has hung up
  }

 private:
  NonblockGuard(int fd, int flags) : fd_(fd), flags_(flags) {}
  int fd_;
  int flags_;
};

// The terminal's modes, put back at the end.
class ModesGuard {
 public:
  static Result<ModesGuard> hold(int fd) { return ModesGuard(fd, PD_TRY(terminal_modes(fd))); }
  ModesGuard(ModesGuard&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), modes_(other.modes_) {}
  ModesGuard& operator=(ModesGuard&&) = delete;
  ~ModesGuard() {
    if (fd_ >= 0) (void)set_terminal_modes(fd_, modes_);
  }
  const Termios2& modes() const { return modes_; }
  bool canonical() const { return (modes_.local & kIcanon) != 0; }
  // Modes that pass bytes on as they are. IXON stays as it was: taking it away would start a
  // stopped terminal (n_tty_set_termios); its characters are disabled instead.
  Termios2 quiet(bool canonical) const {
    Termios2 quiet = modes_;
    quiet.input = modes_.input & kIxon;
    quiet.output = 0;
    quiet.local = (modes_.local & kExtproc) | (canonical ? kIcanon : 0);
    std::fill(std::begin(quiet.characters), std::end(quiet.characters), uint8_t{0});
    return quiet;
  }

 private:
  ModesGuard(int fd, const Termios2& modes) : fd_(fd), modes_(modes) {}
  int fd_;
  Termios2 modes_;
};

// poll(2) also waits for bytes that are on their way through the kernel's work queue (n_tty_poll).
Result<bool> has_input(int fd) { return (PD_TRY(poll_now(fd, POLLIN)) & POLLIN) != 0; }

// Everything that is there. A master whose slave is closed fails with EIO at the end.
Result<std::string> drain(int fd) {
  std::string all;
  while (all.size() < kQueueBytesMax && PD_TRY(has_input(fd))) {
    Result<std::optional<std::string>> piece = read_some(fd, kLineBytesMax);
    if (!piece.ok() || !*piece || (*piece)->empty()) break;
    all += **piece;
  }
  return all;
}

Status read_lines(int slave, PtyQueues* queues) {
  while (queues->input.size() < kQueueBytesMax && PD_TRY(has_input(slave))) {
    std::optional<std::string> line = PD_TRY(read_some(slave, kLineBytesMax));
    if (!line) break;
    queues->input += *line;
    queues->lines.push_back(static_cast<uint32_t>(line->size()));
    queues->ended.push_back(line->empty() || line->back() != '\n');
  }
  return {};
}

Result<size_t> waiting(int fd) {
  PD_TRY(has_input(fd));
  return static_cast<size_t>(PD_TRY(terminal_waiting(fd)));
}

Status take_input(int slave, const ModesGuard& modes, PtyQueues* queues) {
  if (modes.canonical()) {
    PD_TRY(read_lines(slave, queues));
    // A line that is still being typed shows only without canonical mode.
    PD_TRY(set_terminal_modes(slave, modes.quiet(false)));
  }
  while (PD_TRY(waiting(slave)) > 0 && queues->input.size() < kQueueBytesMax) {
    std::optional<std::string> piece = PD_TRY(read_some(slave, kLineBytesMax));
    if (!piece || piece->empty()) break;
    queues->input += *piece;
  }
  return {};
}

// The character that will stand for end-of-file: the terminal's own if it can, else one that is not
// in the input; 0 if there is none.
uint8_t end_character(const Termios2& modes, const std::string& input) {
  const auto is_free = [&input](uint8_t character) {
    return character != 0 && input.find(static_cast<char>(character)) == input.npos;
  };
  if (is_free(modes.characters[kVeof])) return modes.characters[kVeof];
  for (int character = 1; character < 256; ++character) {
    if (character != '\n' && is_free(static_cast<uint8_t>(character))) {
      return static_cast<uint8_t>(character);
    }
  }
  return 0;
}

// Writes input and waits until the line discipline, which works in the background, has taken it:
// each byte comes back as an echo. Without that, bytes could meet the modes that are put back after
// them. On a busy machine they are late. A terminal with EXTPROC has no echo (n_tty_receive_buf);
// there it is only given time.
Status put_and_hear(int master, const ModesGuard& modes, std::string_view bytes) {
  constexpr size_t kPieceBytes = 1024;  // below the echo buffer of 4096 bytes
  const bool echoes = (modes.modes().local & kExtproc) == 0;
  const int wait_ms = echoes ? kEchoWaitMs : kTimeGivenMs;
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kPieceBytes);
    PD_TRY(write_all(master, bytes_of_text(piece)));
    size_t heard = 0;
    while (heard < piece.size()) {
      const bool heard_some = (PD_TRY(poll_for(master, POLLIN, wait_ms)) & POLLIN) != 0;
      if (!heard_some && echoes)
        return Error(Code::kTimeout, "the terminal does not take its input back");
      if (!heard_some) break;
      std::optional<std::string> echo = PD_TRY(read_some(master, piece.size() - heard));
      if (!echo || echo->empty()) break;
      heard += echo->size();
    }
    bytes.remove_prefix(piece.size());
  }
  return {};
}

Status put_input(int master, const ModesGuard& modes, const PtyQueues& queues) {
  if (queues.input.empty() && queues.lines.empty()) return {};
  Termios2 quiet = modes.quiet(modes.canonical());
  quiet.local |= kEcho;
  const uint8_t end = end_character(modes.modes(), queues.input);
  quiet.characters[kVeof] = end;
  PD_TRY(set_terminal_modes(master, quiet));
  std::string_view rest = queues.input;
  for (size_t i = 0; i < queues.lines.size(); ++i) {
    const size_t size = std::min<size_t>(queues.lines[i], rest.size());
    PD_TRY(put_and_hear(master, modes, rest.substr(0, size)));
    if (queues.ended[i] && end != 0) PD_TRY(write_all(master, Bytes(&end, 1)));  // has no echo
    rest.remove_prefix(size);
  }
  return put_and_hear(master, modes, rest);
}

Status put_output(int slave, const ModesGuard& modes, const std::string& output) {
  if (output.empty()) return {};
  PD_TRY(set_terminal_modes(slave, modes.quiet(modes.canonical())));
  return write_all(slave, bytes_of_text(output));
}

// Input first: its echo must not mix with the output.
Status put_queues(int master, int slave, const ModesGuard& modes, const PtyQueues& queues) {
  PD_TRY(put_input(master, modes, queues));
  PD_TRY(put_output(slave, modes, queues.output));
  PD_TRY(has_input(slave));
  PD_TRY(has_input(master));
  return {};
}

// Packet mode (TIOCPKT) off for a while: reads of the master then give plain bytes.
class PacketGuard {
 public:
  static Result<PacketGuard> hold(int master) {
    const bool packet = PD_TRY(is_pty_packet(master));
    if (packet) PD_TRY(set_pty_packet(master, false));
    return PacketGuard(packet ? master : -1);
  }
  PacketGuard(PacketGuard&& other) noexcept : master_(std::exchange(other.master_, -1)) {}
  PacketGuard& operator=(PacketGuard&&) = delete;
  ~PacketGuard() {
    if (master_ >= 0) (void)set_pty_packet(master_, true);
  }

 private:
  explicit PacketGuard(int master) : master_(master) {}
  int master_;
};

// The slave of a hung-up pair is opened for a moment; closing it makes the pair hung up again.
Status peek_hung_up(int master, const ModesGuard& modes, PtyQueues* queues) {
  if (PD_TRY(waiting(master)) == 0) return {};
  const PacketGuard packet = PD_TRY(PacketGuard::hold(master));
  const Fd slave = PD_TRY(open_pty_peer(master, O_RDWR | O_NONBLOCK));
  queues->output = PD_TRY(drain(master));
  return put_output(slave.get(), modes, queues->output);
}

Status peek_open(int master, int slave, const ModesGuard& modes, PtyQueues* queues) {
  const NonblockGuard slave_guard = PD_TRY(NonblockGuard::hold(slave));
  const bool empty = PD_TRY(waiting(master)) == 0 && PD_TRY(waiting(slave)) == 0;
  if (empty && !modes.canonical()) return {};
  if ((PD_TRY(poll_now(slave, POLLOUT)) & POLLOUT) == 0) {
    return Error(Code::kBusy, "the terminal's output is stopped or full");
  }
  const PacketGuard packet = PD_TRY(PacketGuard::hold(master));
  queues->output = PD_TRY(drain(master));
  Status taken = take_input(slave, modes, queues);
  PD_TRY(put_queues(master, slave, modes, *queues));
  return taken;
}

}  // namespace

Result<PtyQueues> peek_pty_queues(int master, int slave) {
  PtyQueues queues;
  const ModesGuard modes = PD_TRY(ModesGuard::hold(master));
  const NonblockGuard master_guard = PD_TRY(NonblockGuard::hold(master));
  PD_TRY(slave < 0 ? peek_hung_up(master, modes, &queues)
                   : peek_open(master, slave, modes, &queues));
  return queues;
}

Status fill_pty_queues(int master, int slave, const PtyQueues& queues) {
  const ModesGuard modes = PD_TRY(ModesGuard::hold(master));
  const NonblockGuard master_guard = PD_TRY(NonblockGuard::hold(master));
  const NonblockGuard slave_guard = PD_TRY(NonblockGuard::hold(slave));
  return put_queues(master, slave, modes, queues);
}

}  // namespace perdure::kernel
