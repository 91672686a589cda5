#include "kernel/pipe.h"

#include <fcntl.h>

#include <algorithm>
#include <string_view>

#include "kernel/file.h"
#include "restore/file_kinds.h"

namespace perdure::restore {
namespace {

struct Ends {
  std::vector<ObjectId> all;
  std::string fifo_path;
  bool has_writer = false;
};
using EndsByPipe = std::map<ObjectId, Ends>;

EndsByPipe find_ends(const object::Graph& graph) {
  EndsByPipe pipes;
  for (const auto& [id, record] : graph.open_files) {
    if (!record.has_pipe()) continue;
    Ends& ends = pipes[ObjectId(record.pipe().pipe())];
    ends.all.push_back(id);
    ends.fifo_path = record.pipe().fifo_path();
    if ((record.flags() & O_ACCMODE) != O_RDONLY) ends.has_writer = true;
  }
  return pipes;
}

Bytes bytes_of_text(std::string_view text) {
  return Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

Status fill(int writer, const object::PipeBuffer& buffer) {
  if (buffer.content().empty()) return {};
  const int flags = PD_TRY(kernel::status_flags(writer));
  PD_TRY(
      kernel::set_status_flags(writer, flags | O_NONBLOCK | (buffer.packet_mode() ? O_DIRECT : 0)));
  std::string_view rest = buffer.content();
  for (const uint32_t packet : buffer.packets()) {
    const std::string_view bytes = rest.substr(0, packet);
    PD_TRY(kernel::write_all(writer, bytes_of_text(bytes)));
    rest.remove_prefix(bytes.size());
  }
  PD_TRY(kernel::write_all(writer, bytes_of_text(rest)));
  return kernel::set_status_flags(writer, flags);
}

Status set_capacity(int end, const object::PipeBuffer& buffer) {
  const int capacity = static_cast<int>(buffer.capacity());
  if (capacity == 0 || PD_TRY(kernel::pipe_capacity(end)) == capacity) return {};
  return kernel::set_pipe_capacity(end, capacity);
}

// Every description is another open of the pipe, because one pipe may have several on each side.
// O_DIRECT, which open(2) refuses for a pipe, follows with the other flags.
Status open_ends(FileMaker* maker, const Ends& ends, const std::string& path) {
  for (const ObjectId id : ends.all) {
    const object::OpenFile& record = maker->graph().open_files.at(id);
    const int mode = static_cast<int>(record.flags()) & O_ACCMODE;
    Fd end = PD_TRY(kernel::open_file(path, mode | O_NONBLOCK));
    PD_TRY(maker->keep(id, std::move(end)));
  }
  return {};
}

// An end that no process has is closed when the pair goes out of scope, which hangs up the other.
Status make_pipe(FileMaker* maker, const Ends& ends, const object::PipeBuffer& buffer) {
  auto [reader, writer] = PD_TRY(kernel::make_pipe());
  PD_TRY(set_capacity(writer.get(), buffer));
  PD_TRY(fill(writer.get(), buffer));
  return open_ends(maker, ends, kernel::path_of_fd(reader.get()));
}

Status make_fifo(FileMaker* maker, const Ends& ends, const object::PipeBuffer& buffer) {
  // A reader that has not seen a writer yet waits; once one was there, it is hung up. So no writer
  // may be there for it.
  const bool untouched = !buffer.hung_up() && !ends.has_writer && buffer.content().empty();
  if (untouched) return open_ends(maker, ends, ends.fifo_path);
  const Fd both = PD_TRY(kernel::open_file(ends.fifo_path, O_RDWR | O_NONBLOCK));
  PD_TRY(set_capacity(both.get(), buffer));
  PD_TRY(fill(both.get(), buffer));
  return open_ends(maker, ends, ends.fifo_path);
}

}  // namespace

Status make_pipes(FileMaker* maker) {
  for (const auto& [id, ends] : find_ends(maker->graph())) {
    const auto buffer = maker->graph().pipes.find(id);
    if (buffer == maker->graph().pipes.end()) {
      return Error(Code::kCorrupt, "a pipe has no record in the epoch");
    }
    if (ends.fifo_path.empty()) {
      PD_TRY_WITHIN("restore a pipe", make_pipe(maker, ends, buffer->second));
    } else {
      PD_TRY_WITHIN("restore FIFO " + ends.fifo_path, make_fifo(maker, ends, buffer->second));
    }
  }
  return {};
}

}  // namespace perdure::restore
