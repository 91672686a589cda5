#include "capture/unix_queue.h"

#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <vector>

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

Status capture_stream(FileContext& context, OpenFileEntry& entry) {
  const int fd = entry.duplicate.get();
  if (auto plain = PD_TRY(kernel::peek_plain_stream(fd, kFirstPeekBytes))) {
    return plain->empty() ? Status() : append(context, entry, {*std::move(plain), {}, {}, false});
  }
  PeekWalk begun = PD_TRY(PeekWalk::begin(fd));
  PeekWalk* const walk = &begun;
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

Status capture_messages(FileContext& context, OpenFileEntry& entry, Ended ended) {
  PeekWalk begun = PD_TRY(PeekWalk::begin(entry.duplicate.get()));
  PeekWalk* const walk = &begun;
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

constexpr uint8_t kShutSend = 2;

bool has_empty_message(const object::UnixSocket& socket) {
  const auto& queue = socket.queue();
  return socket.type() != SOCK_STREAM && socket.connection_ends() == false &&
         std::any_of(queue.begin(), queue.end(),
                     [](const object::UnixMessage& message) { return message.data().empty(); });
}

// The address of a bound socket as we can send to it; empty if we cannot.
std::string address_from_here(const UnixState& to) {
  constexpr size_t kPathBytesMax = 107;  // sun_path with its NUL
  if (to.name.empty()) return {};
  if (to.name[0] == '\0') return kernel::unix_address(to.name);
  const std::string path = "/proc/" + std::to_string(to.entry->holder) + "/root" + to.name;
  const bool reachable = to.name[0] == '/' && path.size() <= kPathBytesMax &&
                         !to.entry->record.unix_socket().path_gone();
  return reachable ? kernel::unix_address(path) : std::string();
}

// Where a message to a socket can be sent from.
struct Origin {
  const UnixState* sender = nullptr;  // null: any unnamed socket will do
  std::string address;                // of the receiver; empty: the sender is connected to it
};

std::optional<Origin> find_origin(const FileContext& context, const UnixState& to,
                                  const std::string& sender_name) {
  const auto peer = context.unix_sockets.find(to.info.peer_inode);
  const bool from_peer = to.info.has_peer && peer != context.unix_sockets.end();
  if (from_peer && (peer->second.info.shutdown & kShutSend) != 0) return std::nullopt;
  if (from_peer && peer->second.info.peer_inode == to.entry->file.st_ino) {
    return Origin{&peer->second, {}};
  }
  const std::string address = address_from_here(to);
  if (to.info.has_peer || to.info.type != SOCK_DGRAM || address.empty()) return std::nullopt;
  if (sender_name.empty()) return Origin{nullptr, address};
  for (const auto& [inode, state] : context.unix_sockets) {
    const bool named = state.info.type == SOCK_DGRAM && state.name == sender_name;
    if (named && (state.info.shutdown & kShutSend) == 0) {
      return Origin{&state, address};
    }
  }
  return std::nullopt;
}

Status send_again(const FileContext& context, const Origin& origin, const PeekedMessage& message) {
  kernel::OutgoingMessage outgoing = {message.data, {}, origin.address};
  for (const Fd& file : message.files) outgoing.files.push_back(file.get());
  if (origin.sender != nullptr) {
    return kernel::send_message(origin.sender->entry->duplicate.get(), outgoing);
  }
  const auto scope = PD_TRY(kernel::NetworkScope::enter(context.members[0].pid));
  const Fd unnamed = PD_TRY(kernel::make_socket(AF_UNIX, SOCK_DGRAM, 0));
  return kernel::send_message(unnamed.get(), outgoing);
}

Status requeue(const FileContext& context, const UnixState& state) {
  const auto& queue = state.entry->record.unix_socket().queue();
  std::vector<Origin> origins;
  size_t largest = 1;
  for (const object::UnixMessage& message : queue) {
    std::optional<Origin> origin = find_origin(context, state, message.sender());
    if (!origin) return {};
    origins.push_back(*std::move(origin));
    largest = std::max(largest, message.data().size());
  }
  std::vector<PeekedMessage> taken;
  Status status;
  for (size_t i = 0; i < origins.size() && status.ok(); ++i) {
    Result<Peeked> message = kernel::take_message(state.entry->duplicate.get(), largest);
    if (message.ok() && *message) {
      taken.push_back(std::move(**message));
      continue;
    }
    if (!message.ok()) status = std::move(message).error();
    break;
  }
  for (size_t i = 0; i < taken.size(); ++i) {
    const Status sent = send_again(context, origins[i], taken[i]);
    if (!sent.ok()) status = sent;
  }
  return status;
}

}  // namespace

Status capture_unix_queue(FileContext& context, OpenFileEntry& entry, int type, Ended ended) {
  Status read = type == SOCK_STREAM ? capture_stream(context, entry)
                                    : capture_messages(context, entry, ended);
  if (!read.ok() && read.error().code() != Code::kUnsupported) {
    return std::move(read).error().within(entry.where);
  }
  return read;
}

Status requeue_empty_messages(FileContext& context) {
  for (const auto& [inode, state] : context.unix_sockets) {
    if (!has_empty_message(state.entry->record.unix_socket())) continue;
    PD_TRY_WITHIN(state.entry->where, requeue(context, state));
  }
  return {};
}

}  // namespace perdure::capture
