#include "daemon/note_lines.h"

#include <algorithm>
#include <charconv>

namespace perdure::daemon {

std::optional<uint64_t> note_line_number(std::string_view text, std::string_view key) {
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') continue;
    line.remove_prefix(key.size() + 1);
    uint64_t value = 0;
    auto [stop, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error == std::errc() && stop == line.data() + line.size()) return value;
  }
  return std::nullopt;
}

}  // namespace perdure::daemon
