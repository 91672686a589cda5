// The build id of an ELF file: the note by which two builds of one library are told apart.
#pragma once

#include <string>

#include "base/result.h"

namespace perdure::capture {

// The bytes of NT_GNU_BUILD_ID; empty if the file is no 64-bit ELF file or has none. Fails only if
// reading fails. The file may be hostile: nothing in it is believed beyond bounds.
Result<std::string> read_build_id(int file);

}  // namespace perdure::capture
