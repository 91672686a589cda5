// How the values of particular fields read: signals by name, masks as lists, modes in octal,
// addresses in hexadecimal, registers by name. A field that is not listed here is shown as it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace perdure::cli {

struct NamedText {
  std::string name;
  std::string text;
};

// field: the full name, "perdure.object.Vma.start". None where plain digits say it best.
std::optional<std::string> integer_text(std::string_view field, uint64_t value);
// Bytes that consist of named parts (registers); empty where they do not.
std::vector<NamedText> bytes_parts(std::string_view field, std::string_view bytes);
// Any other bytes, in a line: decoded, quoted if they are text, else the first of them, their
// number and checksum.
std::string bytes_text_of(std::string_view field, std::string_view bytes);

std::string signal_name(int signal);
std::string signal_set_text(uint64_t mask);
std::string open_flags_text(uint64_t flags);
// "r-x"
std::string protection_text(uint64_t protection);

}  // namespace perdure::cli
