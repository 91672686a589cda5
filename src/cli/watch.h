// `perdure ps --watch`: a page of figures on the user's terminal until q, Ctrl-C or a signal.
#pragma once

#include "base/result.h"
#include "cli/context.h"

namespace perdure::cli {

// Code::kInvalid if standard output is no terminal. The terminal is left as it was.
Result<int> watch_groups(const Context& context);

}  // namespace perdure::cli
