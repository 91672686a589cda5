#include "kernel/kallsyms.h"

#include <charconv>
#include <fstream>

namespace perdure::kernel {
namespace {

struct Symbol {
  uint64_t address = 0;
  std::string_view name;
};

// "ffffffff81000c60 T name", for modules with "\t[module]" behind it.
Symbol parse(std::string_view line) {
  Symbol symbol;
  auto [rest, error] = std::from_chars(line.data(), line.data() + line.size(), symbol.address, 16);
  const auto used = static_cast<size_t>(rest - line.data());
  if (error != std::errc() || line.size() < used + 3) return Symbol();
  symbol.name = line.substr(used + 3);
  return symbol;
}

}  // namespace

// Symbols of the kernel proper are in the order of their addresses.
Result<CodeRange> find_kernel_code(std::string_view name, const std::string& path) {
  std::ifstream file(path);
  CodeRange range;
  for (std::string line; std::getline(file, line);) {
    const Symbol symbol = parse(line);
    if (range.start == 0) {
      if (symbol.name == name) range.start = symbol.address;
    } else if (symbol.address > range.start) {
      range.end = symbol.address;
      return range;
    }
  }
  return Error(Code::kUnavailable, "the kernel does not tell where " + std::string(name) + " is");
}

}  // namespace perdure::kernel
