// The queues of Unix sockets: each message is sent again, from the socket that sent it or from one
// like it.
#include <sys/socket.h>

#include "kernel/socket.h"
#include "restore/socket_options.h"
#include "restore/unix_address.h"
#include "restore/unix_socket.h"

namespace perdure::restore {
namespace {

using object::UnixSocket;

size_t queue_bytes(const UnixSocket& socket) {
  size_t bytes = 0;
  // A message costs its sender a page at least.
  for (const object::UnixMessage& message : socket.queue()) bytes += message.data().size() + 4096;
  return bytes;
}

}  // namespace

Status UnixSockets::send(ObjectId id, const object::UnixMessage& message, size_t room) {
  const UnixSocket& to = socket(id);
  kernel::OutgoingMessage outgoing;
  outgoing.data = message.data();
  for (const uint64_t file : message.files()) {
    outgoing.files.push_back(PD_TRY(maker_->made(ObjectId(file))));
  }
  const auto lost = lost_peers_.find(id);
  int sender = -1;
  Fd unnamed;
  if (lost != lost_peers_.end()) {
    sender = lost->second.get();
  } else if (to.type() != SOCK_DGRAM || paired_.count(id) != 0) {
    sender = PD_TRY(maker_->made(ObjectId(to.peer())));
  } else if (const auto named = find_named(message.sender(), SOCK_DGRAM);
             named && !message.sender().empty()) {
    sender = PD_TRY(maker_->made(*named));
    outgoing.address = kernel::unix_address(to.address());
  } else {
    unnamed = PD_TRY(kernel::make_socket(AF_UNIX, SOCK_DGRAM, 0));
    sender = unnamed.get();
    outgoing.address = kernel::unix_address(to.address());
  }
  PD_TRY(widen_send_buffer(sender, room));
  return send_unix_message(sender, outgoing, to);
}

Status UnixSockets::fill_queue(ObjectId id) {
  const size_t room = queue_bytes(socket(id));
  for (const object::UnixMessage& message : socket(id).queue()) {
    PD_TRY_WITHIN("fill the queue of " + describe(maker_->graph().open_files.at(id)),
                  send(id, message, room));
  }
  return {};
}

Status UnixSockets::finish(ObjectId id) {
  const UnixSocket& record = socket(id);
  const int fd = PD_TRY(maker_->made(id));
  const bool connects = record.type() == SOCK_DGRAM && record.role() == UnixSocket::CONNECTED &&
                        paired_.count(id) == 0;
  if (connects && record.peer() != 0) {
    PD_TRY(connect_unix_name(fd, socket(ObjectId(record.peer()))));
  } else if (connects) {
    // A service such as a log. Where nobody listens, the program's next send fails, as it does when
    // a service restarts.
    (void)kernel::connect_socket(fd, kernel::unix_address(record.peer_address()));
  }
  PD_TRY(apply_socket_options(fd, record.options()));
  const bool half_closed = record.role() == UnixSocket::CONNECTED && !record.connection_ends();
  if (!half_closed || record.shutdown() == 0) return {};
  return kernel::shutdown_socket(fd, static_cast<int>(record.shutdown()) - 1);
}

Status UnixSockets::fill() {
  for (const auto& [id, record] : maker_->graph().open_files) {
    if (record.has_unix_socket()) PD_TRY(fill_queue(id));
  }
  for (const auto& [id, record] : maker_->graph().open_files) {
    if (!record.has_unix_socket()) continue;
    PD_TRY_WITHIN("restore " + describe(record), finish(id));
  }
  lost_peers_.clear();
  return {};
}

}  // namespace perdure::restore
