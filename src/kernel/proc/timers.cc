#include "kernel/proc/timers.h"

#include <csignal>
#include <optional>
#include <string>

#include "kernel/proc/read.h"

namespace perdure::kernel::proc {
namespace {

// timers(proc) is four lines for each timer:
//   ID: 1 / signal: 60/00007fff86e452a8 / notify: signal/pid.2634 / ClockID: 0
bool set_signal(std::string_view value, Timer* timer) {
  const size_t slash = value.find('/');
  if (slash == std::string_view::npos) return false;
  const auto number = parse_signed(value.substr(0, slash));
  const auto data = parse_unsigned(value.substr(slash + 1), 16);
  if (!number || !data) return false;
  timer->signal = static_cast<int32_t>(*number);
  timer->value = *data;
  return true;
}

std::optional<int32_t> notify_number(std::string_view name) {
  if (name == "signal") return SIGEV_SIGNAL;
  if (name == "none") return SIGEV_NONE;
  if (name == "thread") return SIGEV_THREAD;
  return std::nullopt;
}

bool set_notify(std::string_view value, Timer* timer) {
  const size_t slash = value.find('/');
  const size_t dot = value.find('.');
  if (slash == std::string_view::npos || dot == std::string_view::npos || dot < slash) return false;
  const auto kind = notify_number(value.substr(0, slash));
  const auto pid = parse_signed(value.substr(dot + 1));
  if (!kind || !pid) return false;
  const bool to_thread = value.substr(slash + 1, dot - slash - 1) == "tid";
  timer->notify = *kind | (to_thread ? SIGEV_THREAD_ID : 0);
  timer->notify_pid = static_cast<pid_t>(*pid);
  return true;
}

bool set_number(std::string_view value, int32_t* number) {
  const auto parsed = parse_signed(value);
  if (parsed) *number = static_cast<int32_t>(*parsed);
  return parsed.has_value();
}

bool apply(std::string_view key, std::string_view value, std::vector<Timer>* timers) {
  if (key == "ID") {
    timers->emplace_back();
    return set_number(value, &timers->back().id);
  }
  if (timers->empty()) return false;
  if (key == "signal") return set_signal(value, &timers->back());
  if (key == "notify") return set_notify(value, &timers->back());
  if (key == "ClockID") return set_number(value, &timers->back().clock);
  return true;  // a line of a later kernel
}

}  // namespace

Result<std::vector<Timer>> parse_timers(std::string_view text) {
  std::vector<Timer> timers;
  for (std::string_view line : lines_of(text)) {
    const size_t colon = line.find(':');
    const bool understood = colon != std::string_view::npos &&
                            apply(line.substr(0, colon), trimmed(line.substr(colon + 1)), &timers);
    if (!understood) {
      return Error(Code::kUnavailable, "/proc/PID/timers: cannot read " + std::string(line));
    }
  }
  return timers;
}

Result<std::vector<Timer>> read_timers(pid_t pid) {
  return parse_timers(PD_TRY(read_text(path_of(pid, "timers"))));
}

}  // namespace perdure::kernel::proc
