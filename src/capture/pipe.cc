// Pipes and FIFOs: which ends the group holds, and the bytes between them, copied by tee(2), which
// takes nothing out.
//
// One end alone is a pipe whose other end was closed (the kernel says so by POLLHUP or POLLERR), or
// it leads outside. An outside holder of an end that the group holds too is not looked for.
#include "kernel/pipe.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>

#include "capture/file_kinds.h"
#include "kernel/file.h"

namespace perdure::capture {
namespace {

constexpr std::string_view kRemedy =
    "run the program at the other end in the same group, or let it close the pipe";

std::string key_of(const struct stat& file) {
  return "pipe:" + std::to_string(file.st_dev) + ":" + std::to_string(file.st_ino);
}

bool is_fifo(const OpenFileEntry& entry) { return entry.link.compare(0, 6, "pipe:[") != 0; }

struct Ends {
  std::vector<OpenFileEntry*> all;
  OpenFileEntry* reader = nullptr;
  OpenFileEntry* writer = nullptr;
};

Ends ends_of(FileContext& context, const OpenFileEntry& pipe) {
  Ends ends;
  ends.all = context.table.with_inode(pipe.file.st_dev, pipe.file.st_ino);
  // An O_PATH descriptor of a FIFO is no end of it.
  std::erase_if(ends.all, [](OpenFileEntry* end) { return !end->readable() && !end->writable(); });
  for (OpenFileEntry* end : ends.all) {
    if (end->readable()) ends.reader = end;
    if (end->writable()) ends.writer = end;
  }
  return ends;
}

// Whether someone outside holds the end that the group does not.
Result<bool> leads_outside(FileContext& context, const Ends& ends, bool* hung_up) {
  *hung_up = false;
  if (ends.reader != nullptr && ends.writer != nullptr) return false;
  if (ends.reader == nullptr) {
    const int ready = PD_TRY(kernel::poll_now(ends.writer->duplicate.get(), POLLOUT));
    return (ready & POLLERR) == 0;
  }
  const int ready = PD_TRY(kernel::poll_now(ends.reader->duplicate.get(), POLLIN));
  *hung_up = (ready & POLLHUP) != 0;
  if (*hung_up) return false;
  // Before its first writer, a FIFO does not poll POLLHUP.
  if (!is_fifo(*ends.reader)) return true;
  return !find_outside_holder(context, ends.reader->file).empty();
}

void refer(const Ends& ends, ObjectId id) {
  for (OpenFileEntry* end : ends.all) {
    end->record.mutable_pipe()->set_pipe(id.value);
    end->record.mutable_pipe()->set_write_end(end->writable());
  }
}

Status refuse_outside(FileContext& context, const Ends& ends) {
  for (OpenFileEntry* end : ends.all) {
    std::string what = end->readable() ? "read end of " : "write end of ";
    what += (is_fifo(*end) ? "FIFO " : "") + end->link;
    const std::string holder = find_outside_holder(context, end->file);
    what += ", whose other end is " +
            (holder.empty() ? std::string("outside the group") : "held by " + holder) + ",";
    capture_outside(context, *end, key_of(end->file), refuse(*end, what, std::string(kRemedy)));
  }
  return {};
}

bool has_standard_number(const Ends& ends) {
  return std::any_of(ends.all.begin(), ends.all.end(),
                     [](const OpenFileEntry* end) { return end->standard_number().has_value(); });
}

// The way of refuse_outside() without the search through /proc, which only a refusal needs.
void pass_outside(FileContext& context, const Ends& ends) {
  for (OpenFileEntry* end : ends.all) {
    capture_outside(context, *end, key_of(end->file),
                    refuse(*end, "pipe " + end->link, std::string(kRemedy)));
  }
}

Status read_pipe(const OpenFileEntry& reader, bool packets, object::PipeBuffer* buffer) {
  const std::vector<std::string> pieces = PD_TRY_WITHIN(
      reader.where,
      kernel::peek_pipe(reader.duplicate.get(), static_cast<int>(buffer->capacity())));
  for (const std::string& piece : pieces) {
    buffer->mutable_content()->append(piece);
    if (packets) buffer->add_packets(static_cast<uint32_t>(piece.size()));
  }
  return {};
}

}  // namespace

Status capture_pipe(FileContext& context, OpenFileEntry& entry) {
  object::Pipe* pipe = entry.record.mutable_pipe();
  if (is_fifo(entry)) {
    object::FileIdentity identity;
    PD_TRY(identify(context, entry, &identity));
    pipe->set_fifo_path(identity.path());
  }
  context.pipes.push_back(&entry);
  return {};
}

Status relate_pipes(FileContext& context) {
  for (OpenFileEntry* entry : context.pipes) {
    const std::string key = key_of(entry->file);
    const ObjectId known = context.ids.find(key);
    if (known.value != 0 && context.out.pipes.count(known) != 0) continue;
    const Ends ends = ends_of(context, *entry);
    if (ends.all.front() != entry) continue;  // once for each pipe
    bool hung_up = false;
    if (PD_TRY(leads_outside(context, ends, &hung_up))) {
      if (has_standard_number(ends)) {
        pass_outside(context, ends);
      } else {
        PD_TRY(refuse_outside(context, ends));
      }
      continue;
    }
    const ObjectId id = context.ids.id_of(key);
    object::PipeBuffer& buffer = context.out.pipes[id];
    buffer.set_inode(entry->file.st_ino);
    buffer.set_hung_up(hung_up);
    buffer.set_capacity(static_cast<uint32_t>(
        PD_TRY_WITHIN(entry->where, kernel::pipe_capacity(entry->duplicate.get()))));
    refer(ends, id);
  }
  return {};
}

Status read_pipes(FileContext& context) {
  for (OpenFileEntry* entry : context.pipes) {
    if (!entry->record.has_pipe() || !entry->readable()) continue;
    const auto buffer = context.out.pipes.find(ObjectId(entry->record.pipe().pipe()));
    if (buffer == context.out.pipes.end() || !buffer->second.content().empty()) continue;
    const Ends ends = ends_of(context, *entry);
    const bool packets = std::any_of(ends.all.begin(), ends.all.end(), [](OpenFileEntry* end) {
      return (end->flags() & O_DIRECT) != 0;
    });
    buffer->second.set_packet_mode(packets);
    PD_TRY(read_pipe(*entry, packets, &buffer->second));
  }
  return {};
}

}  // namespace perdure::capture
