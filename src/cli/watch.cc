// One thread: it asks every engine, draws, and waits for a key, a signal or the next look. An
// engine that does not answer in time is shown as busy, with its last figures.
#include "cli/watch.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>

#include "base/clock.h"
#include "cli/group_state.h"
#include "cli/moment.h"
#include "cli/watch_page.h"
#include "daemon/client.h"
#include "kernel/folder.h"
#include "kernel/signal_file.h"
#include "kernel/terminal_mode.h"

namespace perdure::cli {
namespace {

constexpr uint64_t kLookNs = 500'000'000;
// While an engine saves a large group for the first time it does not answer; the others want to be
// seen meanwhile.
constexpr std::chrono::milliseconds kAnswerTime{200};
constexpr char kCtrlC = 3;
constexpr char kCtrlD = 4;

constexpr const char* kEnterScreen = "\x1b[?1049h\x1b[?25l";
constexpr const char* kLeaveScreen = "\x1b[?25h\x1b[?1049l";

Bytes bytes_of_text(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// The alternate screen without a cursor, and a terminal that passes on every key.
class Screen {
 public:
  static Result<Screen> enter() {
    if (!kernel::is_terminal(STDOUT_FILENO)) {
      return Error(Code::kInvalid, "--watch needs a terminal")
          .with_remedy("`perdure ps --json` and `perdure ps --metrics` print the same once");
    }
    std::optional<kernel::RawMode> raw;
    if (kernel::is_terminal(STDIN_FILENO))
      raw.emplace(PD_TRY(kernel::RawMode::enter(STDIN_FILENO)));
    PD_TRY(kernel::write_terminal(STDOUT_FILENO, bytes_of_text(kEnterScreen)));
    return Screen(std::move(raw));
  }
  Screen(Screen&& other) noexcept : raw_(std::move(other.raw_)), on_(other.on_) {
    other.on_ = false;
  }
  Screen& operator=(Screen&&) = delete;
  ~Screen() {
    if (on_) (void)kernel::write_terminal(STDOUT_FILENO, bytes_of_text(kLeaveScreen)).ok();
  }

  bool has_keys() const { return raw_.has_value(); }
  Status draw(const std::vector<std::string>& lines) {
    return kernel::write_terminal(STDOUT_FILENO, bytes_of_text(frame_of(lines)));
  }

 private:
  explicit Screen(std::optional<kernel::RawMode> raw) : raw_(std::move(raw)) {}
  std::optional<kernel::RawMode> raw_;
  bool on_ = true;
};

Characters characters_of_terminal() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = ::getenv(name);
    if (value == nullptr || *value == 0) continue;
    const std::string_view locale = value;
    const bool utf8 = locale.find("UTF-8") != locale.npos || locale.find("utf8") != locale.npos;
    return utf8 ? Characters::kUtf8 : Characters::kAscii;
  }
  return Characters::kAscii;
}

class Watch {
 public:
  explicit Watch(const Context& context)
      : context_(context), characters_(characters_of_terminal()) {}

  Status look() {
    std::vector<daemon::GroupPlace> places =
        PD_TRY(context_.places.groups(context_.arguments.store));
    std::sort(places.begin(), places.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    rows_.clear();
    for (const daemon::GroupPlace& place : places) rows_.push_back(row_of(place));
    return Ok{};
  }

  std::vector<std::string> page() const {
    auto size = kernel::window_size(STDOUT_FILENO).value_or(kernel::WindowSize{});
    std::string time = moment_text(clock_.realtime_ns());
    return watch_page(rows_, time.substr(0, time.rfind('.')), {size.rows, size.columns},
                      characters_);
  }

 private:
  WatchRow row_of(const daemon::GroupPlace& place) {
    WatchRow row;
    row.name = place.name;
    row.store_bytes = kernel::bytes_on_disk(place.directory);
    auto client = daemon::Client::connect(place);
    auto status =
        client.ok() ? client->status(kAnswerTime) : Result<control::StatusReply>(client.error());
    if (status.ok()) {
      histories_[place.directory].add({clock_.monotonic_ns(), status->persistence()});
      row.state = "running";
    } else if (client.ok() && status.error().code() == Code::kTimeout) {
      row.state = "busy";
    } else {
      row.state = state_without_engine(place);
      histories_.erase(place.directory);
    }
    if (auto history = histories_.find(place.directory); history != histories_.end()) {
      row.counts = history->second.newest().counts;
      row.figures = history->second.figures();
    }
    return row;
  }

  static std::string state_without_engine(const daemon::GroupPlace& place) {
    GroupState state = look_for_processes_of(place);
    state.end = daemon::read_end_note(place.directory);
    return state.text();
  }

  const Context& context_;
  const Characters characters_;
  SystemClock clock_;
  std::map<std::string, WatchHistory> histories_;  // by folder
  std::vector<WatchRow> rows_;
};

enum class Event : uint8_t { kNextLook, kRedraw, kQuit };

// What was typed; the end of the terminal is a wish to quit too.
Event read_keys() {
  std::array<uint8_t, 64> keys;
  auto count = kernel::read_terminal(STDIN_FILENO, keys);
  if (!count.ok() || *count == 0) return Event::kQuit;
  for (size_t at = 0; at < *count; ++at) {
    const char key = static_cast<char>(keys[at]);
    if (key == 'q' || key == 'Q' || key == kCtrlC || key == kCtrlD) return Event::kQuit;
  }
  return Event::kRedraw;
}

Result<Event> wait_until(uint64_t until_ns, const Screen& screen, kernel::SignalFile& signals) {
  const uint64_t now_ns = SystemClock().monotonic_ns();
  const int wait_ms = until_ns > now_ns ? static_cast<int>((until_ns - now_ns) / 1'000'000) + 1 : 0;
  std::array<pollfd, 2> entries = {pollfd{signals.fd(), POLLIN, 0},
                                   pollfd{screen.has_keys() ? STDIN_FILENO : -1, POLLIN, 0}};
  const int ready = ::poll(entries.data(), entries.size(), wait_ms);
  if (ready < 0 && errno != EINTR) return Error::system(errno, "wait for keys");
  if (ready <= 0) return Event::kNextLook;
  while (std::optional<int> signal = signals.take()) {
    if (*signal != SIGWINCH) return Event::kQuit;
  }
  return entries[1].revents != 0 ? read_keys() : Event::kRedraw;
}

}  // namespace

Result<int> watch_groups(const Context& context) {
  Watch watch(context);
  PD_TRY(watch.look());
  kernel::SignalFile signals =
      PD_TRY(kernel::SignalFile::create({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH}));
  Screen screen = PD_TRY(Screen::enter());
  uint64_t next_look_ns = SystemClock().monotonic_ns() + kLookNs;
  for (;;) {
    PD_TRY(screen.draw(watch.page()));
    switch (PD_TRY(wait_until(next_look_ns, screen, signals))) {
      case Event::kQuit:
        return 0;
      case Event::kRedraw:
        break;
      case Event::kNextLook:
        PD_TRY(watch.look());
        next_look_ns = SystemClock().monotonic_ns() + kLookNs;
    }
  }
}

}  // namespace perdure::cli
