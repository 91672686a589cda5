// Where the functions of the running kernel are (/proc/kallsyms).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace perdure::kernel {

struct CodeRange {
  uint64_t start = 0;
  uint64_t end = 0;
  bool contains(uint64_t address) const { return address >= start && address < end; }
};

// kUnavailable if there is none of this name, or if addresses are not shown (kptr_restrict).
// path: for tests.
Result<CodeRange> find_kernel_code(std::string_view name,
                                   const std::string& path = "/proc/kallsyms");

}  // namespace perdure::kernel
