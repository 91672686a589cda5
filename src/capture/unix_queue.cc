#include "capture/unix_queue.h"

#include <sys/socket.h>

#include "kernel/socket.h"

namespace perdure::capture {
namespace {

using kernel::PeekedMessage;
using kernel::PeekWalk;
using Peeked = std::optional<PeekedMessage>;

// What a stream hands over at once; grown for larger messages.
constexpr size_t kFirstPeekBytes = 64 * 1024;
// net.core.wmem_max at its largest sensible value; a message is never larger than its sender's
// buffer.
constexpr size_t kMessageBytesMax = 256u << 20;
// net.unix.max_dgram_qlen and buffers bound queues far below this.
constexpr size_t kMessagesMax = 1u << 20;

// One message from an offset, whole: with room to spare, so that it cannot have been cut.
Result<Peeked> peek_whole(int fd, PeekWalk* walk, uint64_t offset) {
  for (size_t size = kFirstPeekBytes; size <= kMessageBytesMax; size *= 8) {
    PD_TRY(walk->move_to(offset));
    Peeked message = PD_TRY(kernel::peek_message(fd, size));
    if (!message || (message->data.size() < size && !message->data_truncated)) return message;
  }
  return Error(Code::kLimit, "a message in the queue is too large");
}

// A stream glues bytes together until a message with descriptors ends them. A look brings those
// descriptors whatever its size, so it cannot tell where that message begins.
Result<size_t> bytes_before_files(int fd, PeekWalk* walk, uint64_t offset, size_t size) {
  PD_TRY(walk->move_to(offset));
  return kernel::start_of_last_message(fd, size);
}

Status append(FileContext& context, OpenFileEntry& entry, PeekedMessage message) {
  object::UnixMessage record;
  record.set_data(std::move(message.data));
  record.set_sender(kernel::unix_name(message.sender));
  for (Fd& file : message.files) {
    record.add_files(PD_TRY(context.add_in_flight(std::move(file), entry)).value);
  }
  *entry.record.mutable_unix_socket()->add_queue() = std::move(record);
  return {};
}

Status capture_stream(FileContext& context, OpenFileEntry& entry, PeekWalk* walk) {
  const int fd = entry.duplicate.get();
  uint64_t offset = 0;
  while (true) {
    // Unlike a message, a stream's bytes may be cut anywhere unless descriptors go with them.
    PD_TRY(walk->move_to(offset));
    Peeked message = PD_TRY(kernel::peek_message(fd, kFirstPeekBytes));
    if (!message || message->data.empty()) return {};
    if (!message->files.empty()) {
      message = PD_TRY(peek_whole(fd, walk, offset));
      if (!message) return {};
      const size_t before = PD_TRY(bytes_before_files(fd, walk, offset, message->data.size()));
      if (before > 0) {
        PD_TRY(append(context, entry, {message->data.substr(0, before), {}, {}, false}));
        message->data.erase(0, before);
        offset += before;
      }
    }
    offset += message->data.size();
    message->sender.clear();
    PD_TRY(append(context, entry, std::move(*message)));
  }
}

Status capture_messages(FileContext& context, OpenFileEntry& entry, PeekWalk* walk, Ended ended) {
  uint64_t offset = 0;
  for (size_t count = 0; count < kMessagesMax; ++count) {
    // A walk on from where the last look ended: moving there anew would find an empty message a
    // second time.
    Peeked message = PD_TRY(kernel::peek_message(entry.duplicate.get(), kFirstPeekBytes));
    if (message && (message->data_truncated || message->data.size() == kFirstPeekBytes)) {
      message = PD_TRY(peek_whole(entry.duplicate.get(), walk, offset));
    }
    if (!message) return {};
    // At the end of a seqpacket connection, a look gives nothing for ever; an empty message gives
    // it once.
    if (message->data.empty() && ended == Ended::kYes) return {};
    offset += message->data.size();
    PD_TRY(append(context, entry, std::move(*message)));
  }
  return Error(Code::kLimit, "too many messages in the queue");
}

}  // namespace

Status capture_unix_queue(FileContext& context, OpenFileEntry& entry, int type, Ended ended) {
  // Messages may be empty; a stream without bytes is.
  const bool empty = type == SOCK_STREAM &&
                     PD_TRY_WITHIN(entry.where, kernel::bytes_waiting(entry.duplicate.get())) == 0;
  if (empty) return {};
  PeekWalk walk = PD_TRY_WITHIN(entry.where, PeekWalk::begin(entry.duplicate.get()));
  Status read = type == SOCK_STREAM ? capture_stream(context, entry, &walk)
                                    : capture_messages(context, entry, &walk, ended);
  if (!read.ok() && read.error().code() != Code::kUnsupported) {
    return std::move(read).error().within(entry.where);
  }
  return read;
}

}  // namespace perdure::capture
