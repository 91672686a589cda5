#include "kernel/proc/pressure.h"

#include <string>

#include "kernel/proc/read.h"

namespace perdure::kernel::proc {

// "some avg10=0.57 avg60=11.60 avg300=15.95 total=24013129698", and a line for "full".
Result<uint64_t> parse_processor_pressure(std::string_view text) {
  constexpr std::string_view kTotal = "total=";
  const std::string_view line = text.substr(0, text.find('\n'));
  const size_t at = line.rfind(kTotal);
  if (line.starts_with("some ") && at != std::string_view::npos) {
    const auto total = parse_unsigned(line.substr(at + kTotal.size()));
    if (total) return *total;
  }
  return Error(Code::kUnsupported, "/proc/pressure/cpu has another form here");
}

Result<uint64_t> read_processor_pressure() {
  return parse_processor_pressure(PD_TRY(read_text("/proc/pressure/cpu")));
}

}  // namespace perdure::kernel::proc
