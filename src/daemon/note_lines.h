// Notes beside a store are lines of "key value".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace perdure::daemon {

// What follows the key on the line that begins with it; empty if there is none.
std::string_view note_line_text(std::string_view text, std::string_view key);

// The number on the line that begins with the key; none if there is no such line or no number on
// it.
std::optional<uint64_t> note_line_number(std::string_view text, std::string_view key);

}  // namespace perdure::daemon
