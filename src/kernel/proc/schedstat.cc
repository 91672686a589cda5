#include "kernel/proc/schedstat.h"

#include <string>

#include "kernel/proc/read.h"

namespace perdure::kernel::proc {

// "run_ns waited_ns slices"
Result<RunTime> parse_run_time(std::string_view text) {
  const std::vector<std::string_view> fields = split(trimmed(text), ' ');
  if (fields.size() == 3) {
    const auto run = parse_unsigned(fields[0]);
    const auto slices = parse_unsigned(fields[2]);
    if (run && slices) return RunTime{*run, *slices};
  }
  return Error(Code::kUnsupported,
               "schedstat has another form here: " + std::string(trimmed(text)));
}

Result<RunTime> read_run_time(pid_t pid, pid_t tid) {
  return parse_run_time(PD_TRY(read_text(path_of(pid, tid, "schedstat"))));
}

}  // namespace perdure::kernel::proc
