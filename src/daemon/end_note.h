// How a group came to its end, noted beside its epochs by its engine, for ps. Absent while a group
// runs, and after a loss.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace perdure::daemon {

struct EndNote {
  enum class How : uint8_t { kEnded, kDetached };
  How how = How::kEnded;
  std::optional<int> wait_status;  // kEnded, if the engine was the command's parent
  uint64_t realtime_ns = 0;
};

Status write_end_note(const std::string& directory, const EndNote& note);
// None if there is no note, or none that can be understood.
std::optional<EndNote> read_end_note(const std::string& directory);
Status remove_end_note(const std::string& directory);

}  // namespace perdure::daemon
