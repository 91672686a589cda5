#include "daemon/end_note.h"

#include <fmt/format.h>

#include "daemon/note_lines.h"
#include "kernel/folder.h"

namespace perdure::daemon {
namespace {

std::string path_in(const std::string& directory) { return directory + "/ended"; }

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
  note.realtime_ns = note_line_number(*text, "realtime_ns").value_or(0);
  // wait(2) statuses have 16 bits.
  auto status = note_line_number(*text, "wait_status");
  if (status && *status <= 0xffff) note.wait_status = static_cast<int>(*status);
  return note;
}

Status remove_end_note(const std::string& directory) {
  return kernel::remove_file_if_exists(path_in(directory));
}

}  // namespace perdure::daemon
