// /proc/pressure/cpu (Documentation/accounting/psi.rst): how long some task had to wait for a
// processor.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace perdure::kernel::proc {

// Since the boot, in microseconds. kUnsupported if the text has another form.
Result<uint64_t> parse_processor_pressure(std::string_view text);
// An error without CONFIG_PSI, or with psi=0.
Result<uint64_t> read_processor_pressure();

}  // namespace perdure::kernel::proc
