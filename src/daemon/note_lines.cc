#include "daemon/note_lines.h"

#include <algorithm>
#include <charconv>

namespace perdure::daemon {

std::string_view note_line_text(std::string_view text, std::string_view key) {
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') continue;
    return line.substr(key.size() + 1);
  }
  return {};
}

std::optional<uint64_t> note_line_number(std::string_view text, std::string_view key) {
  std::string_view line = note_line_text(text, key);
  uint64_t value = 0;
  auto [stop, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (line.empty() || error != std::errc() || stop != line.data() + line.size())
    return std::nullopt;
  return value;
}

}  // namespace perdure::daemon
