#include "daemon/end_note.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

#include "kernel/folder.h"

namespace perdure::daemon {
namespace {

std::string path_in(const std::string& directory) { return directory + "/ended"; }

// The number after "key " at the beginning of a line.
std::optional<uint64_t> number_of(std::string_view text, std::string_view key) {
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

}  // namespace

Status write_end_note(const std::string& directory, const EndNote& note) {
  std::string text = note.how == EndNote::How::kDetached ? "detached\n" : "ended\n";
  text += fmt::format("realtime_ns {}\n", note.realtime_ns);
  if (note.wait_status) text += fmt::format("wait_status {}\n", *note.wait_status);
  return kernel::write_note(path_in(directory), text);
}

std::optional<EndNote> read_end_note(const std::string& directory) {
  auto text = kernel::read_note(path_in(directory));
  if (!text.ok()) return std::nullopt;
  EndNote note;
  if (text->starts_with("detached\n")) {
    note.how = EndNote::How::kDetached;
  } else if (!text->starts_with("ended\n")) {
    return std::nullopt;
  }
  note.realtime_ns = number_of(*text, "realtime_ns").value_or(0);
  // wait(2) statuses have 16 bits.
  auto status = number_of(*text, "wait_status");
  if (status && *status <= 0xffff) note.wait_status = static_cast<int>(*status);
  return note;
}

Status remove_end_note(const std::string& directory) {
  return kernel::remove_file_if_exists(path_in(directory));
}

}  // namespace perdure::daemon
