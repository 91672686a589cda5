#include "cli/epoch_note.h"

#include <charconv>

namespace perdure::cli {
namespace {

// What follows "key": at depth one; empty if the note has no such key.
std::string_view value_of(std::string_view note, std::string_view key) {
  int depth = 0;
  bool in_string = false;
  for (size_t at = 0; at < note.size(); ++at) {
    char c = note[at];
    if (in_string) {
      if (c == '\\') ++at;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (c != '"') continue;
    std::string_view rest = note.substr(at + 1);
    bool found = depth == 1 && rest.starts_with(key) && rest.substr(key.size()).starts_with("\":");
    if (found) return rest.substr(key.size() + 2);
    in_string = true;
  }
  return {};
}

}  // namespace

std::optional<uint64_t> note_number(std::string_view note, std::string_view key) {
  std::string_view text = value_of(note, key);
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

std::string note_object(std::string_view note, std::string_view key) {
  std::string_view text = value_of(note, key);
  if (!text.starts_with('{')) return "";
  int depth = 0;
  bool in_string = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (in_string && text[at] == '\\') {
      ++at;
      continue;
    }
    if (text[at] == '"') in_string = !in_string;
    if (in_string) continue;
    if (text[at] == '{') ++depth;
    if (text[at] == '}' && --depth == 0) return std::string(text.substr(0, at + 1));
  }
  return "";
}

}  // namespace perdure::cli
