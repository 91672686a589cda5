#include "restore/unix_socket.h"

#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "kernel/socket.h"
#include "restore/unix_address.h"

namespace perdure::restore {
namespace {

using object::UnixSocket;

bool is_lost(const UnixSocket& socket) {
  return socket.role() == UnixSocket::PEER_CLOSED || socket.connection_ends();
}

bool is_connection(const UnixSocket& socket) {
  return socket.type() != SOCK_DGRAM &&
         (socket.role() == UnixSocket::CONNECTED || socket.role() == UnixSocket::PEER_CLOSED);
}

}  // namespace

const UnixSocket& UnixSockets::socket(ObjectId id) const {
  return maker_->graph().open_files.at(id).unix_socket();
}

std::optional<ObjectId> UnixSockets::find_named(const std::string& name, int type) const {
  for (const auto& [id, record] : maker_->graph().open_files) {
    const bool fits = record.has_unix_socket() && record.unix_socket().type() == type &&
                      record.unix_socket().address() == name;
    if (fits) return id;
  }
  return std::nullopt;
}

const UnixSocket* UnixSockets::find_listener(const UnixSocket& accepted) const {
  for (const auto& [id, record] : maker_->graph().open_files) {
    const UnixSocket& other = record.unix_socket();
    if (!record.has_unix_socket() || other.role() != UnixSocket::LISTENING) continue;
    const bool reachable = !other.path_gone() && other.type() == accepted.type();
    if (reachable && other.address() == accepted.address()) return &other;
  }
  return nullptr;
}

bool UnixSockets::is_mutual(ObjectId id) const {
  const ObjectId peer(socket(id).peer());
  const auto found = maker_->graph().open_files.find(peer);
  return found != maker_->graph().open_files.end() && found->second.has_unix_socket() &&
         found->second.unix_socket().peer() == id.value;
}

Status UnixSockets::make_bound(ObjectId id) {
  const UnixSocket& record = socket(id);
  Fd file = PD_TRY(kernel::make_socket(AF_UNIX, record.type(), 0));
  PD_TRY(bind_unix(file.get(), record));
  if (record.role() == UnixSocket::LISTENING) {
    PD_TRY(kernel::listen_socket(file.get(), static_cast<int>(record.backlog())));
  }
  return maker_->keep(id, std::move(file));
}

// Sockets that are made without another one. A name whose file is gone is bound and unlinked first:
// its file may belong to another socket of the group now.
Status UnixSockets::make_alone() {
  for (const bool path_gone : {true, false}) {
    for (const auto& [id, record] : maker_->graph().open_files) {
      if (!record.has_unix_socket() || record.unix_socket().path_gone() != path_gone) continue;
      const UnixSocket& unix_socket = record.unix_socket();
      const bool datagram = unix_socket.type() == SOCK_DGRAM;
      const bool with_peer =
          datagram ? is_mutual(id) || (is_lost(unix_socket) && unix_socket.address().empty())
                   : is_connection(unix_socket);
      if (!with_peer) PD_TRY(make_bound(id));
    }
  }
  return {};
}

Result<Fd> UnixSockets::listen_for_a_moment(const UnixSocket& server) {
  Fd listener = PD_TRY(kernel::make_socket(AF_UNIX, server.type(), 0));
  PD_TRY(bind_unix(listener.get(), server));
  PD_TRY(kernel::listen_socket(listener.get(), 1));
  return listener;
}

Result<UnixSockets::Pair> UnixSockets::connect_to(const UnixSocket& server,
                                                  const UnixSocket* client) {
  if (server.address().empty()) return kernel::make_socket_pair(server.type());
  const UnixSocket* listener = find_listener(server);
  Fd own_listener;
  int listening = -1;
  if (listener != nullptr) {
    for (const auto& [id, record] : maker_->graph().open_files) {
      if (record.has_unix_socket() && &record.unix_socket() == listener) {
        listening = PD_TRY(maker_->made(id));
      }
    }
  } else {
    UnixSocket reachable = server;
    reachable.set_path_gone(false);
    Result<Fd> made = listen_for_a_moment(reachable);
    // The name is in use outside the group, by the program that accepted this connection: only the
    // name is lost.
    if (!made.ok() && made.error().code() == Code::kExists) {
      return kernel::make_socket_pair(server.type());
    }
    own_listener = PD_TRY(std::move(made));
    listening = own_listener.get();
  }
  Fd near = PD_TRY(kernel::make_socket(AF_UNIX, server.type(), 0));
  if (client != nullptr) PD_TRY(bind_unix(near.get(), *client));
  PD_TRY(connect_unix_name(near.get(), server));
  Fd far = PD_TRY(kernel::accept_socket(listening));
  if (own_listener.valid() && server.path_gone()) PD_TRY(unlink_unix(server));
  return Pair(std::move(near), std::move(far));
}

Status UnixSockets::make_pair(ObjectId id, ObjectId peer) {
  // The end that was accepted has its listener's name.
  const bool first_is_server =
      !socket(id).address().empty() &&
      (socket(peer).address().empty() || find_listener(socket(id)) != nullptr);
  const ObjectId server = first_is_server ? id : peer;
  const ObjectId client = first_is_server ? peer : id;
  if (socket(id).type() == SOCK_DGRAM) {
    Pair pair = PD_TRY(kernel::make_socket_pair(SOCK_DGRAM));
    PD_TRY(bind_unix(pair.first.get(), socket(id)));
    PD_TRY(bind_unix(pair.second.get(), socket(peer)));
    paired_[id] = paired_[peer] = true;
    PD_TRY(maker_->keep(id, std::move(pair.first)));
    return maker_->keep(peer, std::move(pair.second));
  }
  Pair pair = PD_TRY(connect_to(socket(server), &socket(client)));
  PD_TRY(maker_->keep(client, std::move(pair.first)));
  return maker_->keep(server, std::move(pair.second));
}

Status UnixSockets::make_with_lost_peer(ObjectId id) {
  const UnixSocket& record = socket(id);
  Pair pair = record.type() == SOCK_DGRAM ? PD_TRY(kernel::make_socket_pair(SOCK_DGRAM))
                                          : PD_TRY(connect_to(record, nullptr));
  lost_peers_[id] = std::move(pair.first);
  return maker_->keep(id, std::move(pair.second));
}

Status UnixSockets::make_connected() {
  for (const auto& [id, record] : maker_->graph().open_files) {
    if (!record.has_unix_socket() || maker_->made(id).ok()) continue;
    const UnixSocket& unix_socket = record.unix_socket();
    if (unix_socket.pending()) continue;
    if (is_lost(unix_socket)) {
      PD_TRY(make_with_lost_peer(id));
    } else if (is_mutual(id)) {
      PD_TRY(make_pair(id, ObjectId(unix_socket.peer())));
    } else {
      return Error(Code::kCorrupt, "a Unix socket's peer is not in the epoch");
    }
  }
  return {};
}

// Clients in accept queues, in their order. Last: accepting would take them out again.
Status UnixSockets::make_waiting() {
  std::vector<std::pair<uint32_t, ObjectId>> waiting;
  for (const auto& [id, record] : maker_->graph().open_files) {
    if (record.has_unix_socket() && record.unix_socket().pending()) {
      waiting.emplace_back(record.unix_socket().pending_place(), id);
    }
  }
  std::sort(waiting.begin(), waiting.end());
  for (const auto& [place, id] : waiting) {
    const auto listener = maker_->graph().open_files.find(ObjectId(socket(id).peer()));
    if (listener == maker_->graph().open_files.end() || !listener->second.has_unix_socket()) {
      return Error(Code::kCorrupt, "a waiting connection has no listening socket in the epoch");
    }
    // Without waiting for room: a full queue is a failure.
    Fd client = PD_TRY(kernel::make_socket(AF_UNIX, socket(id).type() | SOCK_NONBLOCK, 0));
    PD_TRY(bind_unix(client.get(), socket(id)));
    PD_TRY(connect_unix_name(client.get(), listener->second.unix_socket()));
    PD_TRY(maker_->keep(id, std::move(client)));
  }
  return {};
}

Status UnixSockets::make() {
  PD_TRY_WITHIN("restore Unix sockets", make_alone());
  PD_TRY_WITHIN("restore Unix connections", make_connected());
  return make_waiting();
}

}  // namespace perdure::restore
