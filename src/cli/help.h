// The words of --help: one entry per verb, with examples and what the verb exits with.
#pragma once

#include "cli/arguments.h"

namespace perdure::cli {

struct VerbHelp {
  const char* name;
  const char* what;
  const char* usage;  // behind the name
  const char* footer;
};

const VerbHelp& help_of(Verb verb);

extern const char* const kProgramHelp;
extern const char* const kProgramFooter;

}  // namespace perdure::cli
