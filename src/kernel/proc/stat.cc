#include "kernel/proc/stat.h"

#include <vector>

#include "kernel/proc/read.h"

namespace perdure::kernel::proc {
namespace {

// Fields after the command name; kState is number 3 of proc_pid_stat(5).
enum Field : size_t {
  kState = 3,
  kParent = 4,
  kProcessGroup = 5,
  kSession = 6,
  kTty = 7,
  kForeground = 8,
  kFlags = 9,
  kNice = 19,
  kThreads = 20,
  kStartTime = 22,
  kStartCode = 26,
  kEndCode = 27,
  kStartStack = 28,
  kExitSignal = 38,
  kStartData = 45,
  kEndData = 46,
  kStartBrk = 47,
  kArgStart = 48,
  kArgEnd = 49,
  kEnvStart = 50,
  kEnvEnd = 51,
  kExitCode = 52,
};

class Fields {
 public:
  explicit Fields(std::string_view text) : parts_(split(trimmed(text), ' ')) {}
  bool complete() const { return parts_.size() > kExitCode - kState && valid_; }

  char letter(Field field) { return has(field) ? at(field).front() : '?'; }
  template <typename T>
  void put(Field field, T* number) {
    const auto value = has(field) ? parse_signed(at(field)) : std::nullopt;
    valid_ = valid_ && value.has_value();
    if (value) *number = static_cast<T>(*value);
  }
  void put(Field field, uint64_t* number) {
    const auto value = has(field) ? parse_unsigned(at(field)) : std::nullopt;
    valid_ = valid_ && value.has_value();
    if (value) *number = *value;
  }

 private:
  bool has(Field field) const { return field - kState < parts_.size(); }
  std::string_view at(Field field) const { return parts_[field - kState]; }

  std::vector<std::string_view> parts_;
  bool valid_ = true;
};

void put_ids(Fields* fields, Stat* stat) {
  fields->put(kParent, &stat->ppid);
  fields->put(kProcessGroup, &stat->process_group);
  fields->put(kSession, &stat->session);
  fields->put(kTty, &stat->tty);
  fields->put(kForeground, &stat->terminal_foreground);
  fields->put(kFlags, &stat->flags);
  fields->put(kNice, &stat->nice);
  fields->put(kThreads, &stat->threads);
  fields->put(kStartTime, &stat->start_ticks);
  fields->put(kExitSignal, &stat->exit_signal);
  fields->put(kExitCode, &stat->exit_code);
}

void put_layout(Fields* fields, Stat* stat) {
  fields->put(kStartCode, &stat->start_code);
  fields->put(kEndCode, &stat->end_code);
  fields->put(kStartStack, &stat->start_stack);
  fields->put(kStartData, &stat->start_data);
  fields->put(kEndData, &stat->end_data);
  fields->put(kStartBrk, &stat->start_brk);
  fields->put(kArgStart, &stat->arg_start);
  fields->put(kArgEnd, &stat->arg_end);
  fields->put(kEnvStart, &stat->env_start);
  fields->put(kEnvEnd, &stat->env_end);
}

}  // namespace

Result<Stat> parse_stat(std::string_view text) {
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');  // the name itself may hold any of both
  const auto pid =
      open == std::string_view::npos ? std::nullopt : parse_signed(trimmed(text.substr(0, open)));
  if (!pid || close == std::string_view::npos || close < open) {
    return Error(Code::kUnavailable, "/proc/PID/stat is not in the form of proc_pid_stat(5)");
  }
  Stat stat;
  stat.pid = static_cast<pid_t>(*pid);
  stat.comm = text.substr(open + 1, close - open - 1);
  Fields fields(text.substr(close + 1));
  stat.state = fields.letter(kState);
  put_ids(&fields, &stat);
  put_layout(&fields, &stat);
  if (!fields.complete()) {
    return Error(Code::kUnavailable,
                 "/proc/" + std::to_string(*pid) + "/stat lacks fields of Linux 3.5");
  }
  return stat;
}

Result<Stat> read_stat(pid_t pid) { return parse_stat(PD_TRY(read_text(path_of(pid, "stat")))); }

Result<Stat> read_stat(pid_t pid, pid_t tid) {
  return parse_stat(PD_TRY(read_text(path_of(pid, tid, "stat"))));
}

}  // namespace perdure::kernel::proc
