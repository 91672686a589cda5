#include "cli/relay.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "cli/detach_key.h"
#include "cli/output.h"
#include "cli/screen_modes.h"
#include "daemon/message.h"
#include "kernel/control_socket.h"
#include "kernel/signal_file.h"
#include "kernel/terminal_mode.h"

namespace perdure::cli {
namespace {

// Typed (pasted) ahead of a program that does not read; beyond this the terminal waits.
constexpr size_t kTypedAheadMax = 64 * 1024;
// Between the last output and the news of the end.
constexpr int kClosedTerminalMs = 2000;

Bytes bytes_of_text(const std::string& text) {
  return Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// The end, if the next message is it. Other answers (to a signal that was passed on) say nothing.
Result<std::optional<RelayEnd>> take_end(daemon::Client& client) {
  daemon::Answer answer = PD_TRY(client.next(daemon::kNoLimit));
  if (!answer.response.has_ended()) return std::optional<RelayEnd>();
  client.wait_gone();
  RelayEnd end;
  if (answer.response.ended().known()) end.wait_status = answer.response.ended().wait_status();
  return std::optional(end);
}

class TerminalRelay {
 public:
  TerminalRelay(daemon::Client& client, Fd master) : client_(client), master_(std::move(master)) {}

  Result<RelayEnd> run(kernel::SignalFile& signals) {
    while (!end_) {
      // Same order as handled below.
      std::array<pollfd, 4> entries = {
          pollfd{client_.fd(), POLLIN, 0}, pollfd{signals.fd(), POLLIN, 0},
          pollfd{typed_.size() < kTypedAheadMax ? STDIN_FILENO : -1, POLLIN, 0},
          pollfd{master_closed_ ? -1 : master_.get(),
                 static_cast<short>(typed_.empty() ? POLLIN : POLLIN | POLLOUT), 0}};
      // A group that lives on without its terminal (a job of a shell that ended) has nothing to
      // show.
      int ready = ::poll(entries.data(), entries.size(), master_closed_ ? kClosedTerminalMs : -1);
      if (ready < 0 && errno != EINTR) return Error::system(errno, "wait for the terminal");
      if (ready == 0) PD_TRY(leave());
      if (ready <= 0) continue;
      if ((entries[3].revents & (POLLIN | POLLHUP | POLLERR)) != 0) PD_TRY(show_output());
      if ((entries[3].revents & POLLOUT) != 0) PD_TRY(type());
      if (entries[2].revents != 0) PD_TRY(read_keys());
      if (entries[1].revents != 0) take_signals(signals);
      if (entries[0].revents != 0) PD_TRY(take_message());
    }
    return *end_;
  }

  Status show(Bytes output) {
    modes_.follow(output);
    return kernel::write_terminal(STDOUT_FILENO, output);
  }

  // The user's shell gets the terminal as it was, whatever the program was doing. It may be gone by
  // then.
  void clean_screen() {
    std::string clean = modes_.leave();
    if (!clean.empty()) (void)kernel::write_terminal(STDOUT_FILENO, bytes_of_text(clean)).ok();
  }

  // The program may have been stored in the middle of its screen.
  void fit_window(Redraw redraw) {
    auto size = kernel::window_size(STDOUT_FILENO);
    if (!size) return;
    if (redraw == Redraw::kYes && size->rows > 1) {
      kernel::WindowSize smaller = *size;
      --smaller.rows;
      (void)kernel::set_window_size(master_.get(), smaller).ok();
    }
    (void)kernel::set_window_size(master_.get(), *size).ok();
  }

 private:
  Status show_output() {
    std::array<uint8_t, 16384> buffer;
    auto got = kernel::read_terminal(master_.get(), buffer);
    if (!got.ok() && got.error().error_number() == EAGAIN) return Ok{};
    if (!got.ok()) return std::move(got).error();
    // Nobody has the other side open: what is left to come is the end.
    master_closed_ = *got == 0;
    return show(Bytes(buffer).first(*got));
  }

  Status type() {
    size_t wrote = PD_TRY(kernel::write_some(master_.get(), bytes_of_text(typed_)));
    typed_.erase(0, wrote);
    return Ok{};
  }

  Status read_keys() {
    std::array<uint8_t, 4096> buffer;
    size_t got = PD_TRY(kernel::read_terminal(STDIN_FILENO, buffer));
    if (got == 0) return leave();
    typed_ += key_.pass(Bytes(buffer).first(got));
    return key_.seen() ? leave() : Status(Ok{});
  }

  Status leave() {
    end_ = RelayEnd{true, {}};
    return Ok{};
  }

  void take_signals(kernel::SignalFile& signals) {
    while (std::optional<int> signal = signals.take()) {
      if (*signal == SIGWINCH) {
        fit_window(Redraw::kNo);
      } else {
        (void)leave().ok();
      }
    }
  }

  Status take_message() {
    std::optional<RelayEnd> end = PD_TRY(take_end(client_));
    if (!end) return Ok{};
    while (!master_closed_ &&
           PD_TRY(kernel::wait_readable(master_.get(), std::chrono::milliseconds(0)))) {
      PD_TRY(show_output());
    }
    end_ = end;
    return Ok{};
  }

  daemon::Client& client_;
  Fd master_;
  DetachKey key_;
  ScreenModes modes_;
  std::string typed_;
  bool master_closed_ = false;
  std::optional<RelayEnd> end_;
};

}  // namespace

Result<RelayEnd> relay_terminal(daemon::Client& client, Fd master, const std::string& replay,
                                Redraw redraw) {
  // Raw mode is left on every way out of here, also by a signal: these come as messages.
  auto signals = PD_TRY(kernel::SignalFile::create({SIGWINCH, SIGTERM, SIGHUP, SIGINT, SIGQUIT}));
  auto raw = PD_TRY(kernel::RawMode::enter(STDIN_FILENO));
  PD_TRY(kernel::set_nonblocking(master));
  TerminalRelay relay(client, std::move(master));
  PD_TRY(relay.show(bytes_of_text(replay)));
  relay.fit_window(redraw);
  Result<RelayEnd> end = relay.run(signals);
  relay.clean_screen();
  return end;
}

Result<RelayEnd> wait_for_end(daemon::Client& client) {
  auto signals =
      PD_TRY(kernel::SignalFile::create({SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2}));
  for (;;) {
    std::array<pollfd, 2> entries = {pollfd{client.fd(), POLLIN, 0},
                                     pollfd{signals.fd(), POLLIN, 0}};
    if (::poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) {
      return Error::system(errno, "wait for the group");
    }
    while (std::optional<int> signal = signals.take()) PD_TRY(client.pass_signal(*signal));
    if (entries[0].revents == 0) continue;
    if (std::optional<RelayEnd> end = PD_TRY(take_end(client))) return *end;
  }
}

int finish_relay(const RelayEnd& end, const std::string& name) {
  if (end.left) {
    (void)print(fmt::format("\r\n[{} runs on; `perdure attach {}` shows it again]\n", name, name))
        .ok();
    return 0;
  }
  return end.wait_status ? daemon::shell_status(*end.wait_status) : 0;
}

}  // namespace perdure::cli
