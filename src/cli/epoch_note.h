// What the engine notes beside an epoch: a flat JSON object of numbers, and one of timings.
// Tolerant: a key that is not there is not there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace perdure::cli {

// The number behind "key": at the top level of the note.
std::optional<uint64_t> note_number(std::string_view note, std::string_view key);
// The object behind "key":, as JSON; empty if there is none.
std::string note_object(std::string_view note, std::string_view key);

}  // namespace perdure::cli
