#include "engine/clock_offsets.h"

#include "kernel/proc/read.h"

namespace perdure::engine {

ClockOffsets read_clock_offsets(pid_t pid) {
  ClockOffsets offsets;
  Result<std::string> text = kernel::proc::read_text(kernel::proc::path_of(pid, "timens_offsets"));
  if (!text.ok()) return offsets;
  // "monotonic SECONDS NANOSECONDS"; the file speaks of the namespace of the process's children,
  // which is its own.
  for (std::string_view line : kernel::proc::lines_of(*text)) {
    const std::vector<std::string_view> words = kernel::proc::split(line, ' ');
    if (words.size() != 3) continue;
    const int64_t ns = kernel::proc::parse_signed(words[1]).value_or(0) * 1'000'000'000 +
                       kernel::proc::parse_signed(words[2]).value_or(0);
    (words[0] == "monotonic" ? offsets.monotonic_ns : offsets.boottime_ns) = ns;
  }
  return offsets;
}

}  // namespace perdure::engine
