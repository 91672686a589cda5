// Unix sockets: pairs and connections inside the group, listening sockets with the connections that
// wait, queued data with the descriptors in flight. A connection to a client outside ends at
// restore as if the client had closed it; one that the group itself made to a program outside is
// refused.
#include <fcntl.h>
#include <sys/socket.h>

#include "capture/file_kinds.h"
#include "capture/socket_options.h"
#include "capture/unix_queue.h"
#include "kernel/file.h"
#include "kernel/proc/read.h"
#include "kernel/socket.h"

namespace perdure::capture {
namespace {

// include/net/tcp_states.h
constexpr uint8_t kStateEstablished = 1;
constexpr uint8_t kStateListen = 10;
constexpr uint8_t kShutBoth = 3;

std::string shown_name(const std::string& name) {
  if (name.empty()) return "without a name";
  return name[0] == '\0' ? "@" + name.substr(1) : name;
}

bool is_path(const std::string& name) { return !name.empty() && name[0] != '\0'; }

bool leads_to_socket(FileContext& context, const std::string& path,
                     const kernel::UnixSocketInfo& info, object::UnixSocket* record) {
  const struct stat* file = context.paths.find(path);
  if (file == nullptr || !S_ISSOCK(file->st_mode)) return false;
  if (static_cast<uint32_t>(file->st_ino) != info.file_inode) return false;
  record->set_mode(file->st_mode & 07777);
  record->set_uid(file->st_uid);
  record->set_gid(file->st_gid);
  return true;
}

// Where the bound path leads now. A relative one was bound in a folder that some process of the
// group is in, or was.
Status capture_path(FileContext& context, const UnixState& state) {
  object::UnixSocket* record = state.entry->record.mutable_unix_socket();
  if (!is_path(state.name)) return {};
  for (const Member& member : context.members) {
    const std::string proc = "/proc/" + std::to_string(member.pid);
    if (state.name[0] == '/') {
      if (leads_to_socket(context, proc + "/root" + state.name, state.info, record)) return {};
      continue;
    }
    if (!leads_to_socket(context, proc + "/cwd/" + state.name, state.info, record)) continue;
    record->set_bound_cwd(PD_TRY(kernel::proc::read_link(proc + "/cwd")));
    return {};
  }
  record->set_path_gone(true);
  return {};
}

UnixState* find_named(FileContext& context, const std::string& name, int type) {
  for (auto& [inode, state] : context.unix_sockets) {
    if (state.info.type == type && !name.empty() && state.name == name) return &state;
  }
  return nullptr;
}

bool is_accepted(FileContext& context, const UnixState& state) {
  if (state.name.empty()) return false;
  if (context.listening_names.contains(state.name)) return true;
  if (!context.hold(*state.entry).ok()) return false;
  const auto peer = kernel::peer_address(state.entry->duplicate.get());
  return !peer.ok() || !*peer || kernel::unix_name(**peer).empty();
}

std::string peer_description(const UnixState& state) {
  const int fd = state.entry->duplicate.get();
  std::string text;
  const auto credentials = kernel::socket_option(fd, SOL_SOCKET, SO_PEERCRED, sizeof(struct ucred));
  if (credentials.ok() && credentials->size() == sizeof(struct ucred)) {
    const auto peer = load_le<struct ucred>(reinterpret_cast<const uint8_t*>(credentials->data()));
    if (peer.pid > 0) {
      const auto comm = kernel::proc::read_text(kernel::proc::path_of(peer.pid, "comm"));
      text = "pid " + std::to_string(peer.pid);
      if (comm.ok()) text += " (" + std::string(kernel::proc::trimmed(*comm)) + ")";
    }
  }
  const auto address = kernel::peer_address(fd);
  if (address.ok() && *address && !kernel::unix_name(**address).empty()) {
    text += (text.empty() ? "" : " at ") + shown_name(kernel::unix_name(**address));
  }
  return text.empty() ? "a program outside the group" : text + " outside the group";
}

Status lead_outside(FileContext& context, const UnixState& state) {
  PD_TRY(context.hold(*state.entry));
  const std::string what = "connection of Unix socket " + shown_name(state.name) + " to " +
                           peer_description(state) + ",";
  capture_outside(
      context, *state.entry, state.entry->link,
      refuse(*state.entry, what, "close the connection, or run both programs in the same group"));
  return {};
}

struct WaitingClient {
  const UnixState* listener;
  uint32_t place;
};
using WaitingClients = std::map<uint64_t, WaitingClient>;

WaitingClients waiting_clients(const FileContext& context) {
  WaitingClients clients;
  for (const auto& [inode, state] : context.unix_sockets) {
    for (uint32_t place = 0; place < state.info.waiting.size(); ++place) {
      clients[state.info.waiting[place]] = {&state, place};
    }
  }
  return clients;
}

// A client in the group that a listener in the group has not accepted yet: connected again at
// restore. What it has sent lies in a socket that no process has yet, and cannot be seen.
Status relate_waiting(const FileContext& context, const UnixState& state,
                      const WaitingClient& client) {
  PD_TRY(context.hold(*state.entry));
  object::UnixSocket* record = state.entry->record.mutable_unix_socket();
  const std::string what = "connection to " + shown_name(client.listener->name) +
                           ", not accepted yet and with data sent,";
  if (PD_TRY_WITHIN(state.entry->where, kernel::bytes_in_flight(state.entry->duplicate.get())) >
      0) {
    return refuse(*state.entry, what, "try again when the server has accepted it");
  }
  if (client.listener->entry->record.unix_socket().path_gone()) {
    return refuse(*state.entry, "connection to a socket whose path is gone, not accepted yet,",
                  "try again when the server has accepted it");
  }
  record->set_role(object::UnixSocket::CONNECTED);
  record->set_pending(true);
  record->set_pending_place(client.place);
  record->set_peer(client.listener->entry->id.value);
  return {};
}

Status relate_connection(FileContext& context, const UnixState& state,
                         const WaitingClients& waiting) {
  object::UnixSocket* record = state.entry->record.mutable_unix_socket();
  const auto client = waiting.find(state.entry->file.st_ino);
  if (client != waiting.end()) return relate_waiting(context, state, client->second);
  const auto peer = context.unix_sockets.find(state.info.peer_inode);
  if (state.info.peer_inode != 0 && peer != context.unix_sockets.end()) {
    record->set_role(object::UnixSocket::CONNECTED);
    record->set_peer(peer->second.entry->id.value);
    return {};
  }
  if (state.info.peer_inode == 0 && state.info.shutdown == kShutBoth) {
    record->set_role(object::UnixSocket::PEER_CLOSED);
    return {};
  }
  if (!state.entry->standard_number() && is_accepted(context, state)) {
    record->set_role(object::UnixSocket::CONNECTED);
    record->set_connection_ends(true);
    return {};
  }
  return lead_outside(context, state);
}

// Datagram sockets hold no connection: one to a named socket outside, such as a log, is made again.
Status relate_datagram(FileContext& context, const UnixState& state) {
  object::UnixSocket* record = state.entry->record.mutable_unix_socket();
  for (const object::UnixMessage& message : record->queue()) {
    if (message.sender().empty() || find_named(context, message.sender(), SOCK_DGRAM) != nullptr) {
      continue;
    }
    return refuse(
        *state.entry,
        "message from " + shown_name(message.sender()) + " outside the group in its queue",
        "try again when the program has received it");
  }
  if (!state.info.has_peer) return {};
  record->set_role(object::UnixSocket::CONNECTED);
  const auto peer = context.unix_sockets.find(state.info.peer_inode);
  if (state.info.peer_inode != 0 && peer != context.unix_sockets.end()) {
    record->set_peer(peer->second.entry->id.value);
    return {};
  }
  if (state.info.peer_inode == 0) {
    record->set_role(object::UnixSocket::PEER_CLOSED);
    return {};
  }
  const auto address = PD_TRY(kernel::peer_address(state.entry->duplicate.get()));
  const std::string name = address ? kernel::unix_name(*address) : std::string();
  if (name.empty() || (is_path(name) && name[0] != '/')) {
    return lead_outside(context, state);
  }
  record->set_peer_address(name);
  return {};
}

Status check_queue(const UnixState& state) {
  const object::UnixSocket& record = state.entry->record.unix_socket();
  if (record.queue().empty()) return {};
  const auto credentials =
      kernel::socket_option_int(state.entry->duplicate.get(), SOL_SOCKET, SO_PASSCRED);
  if (!credentials.ok() || *credentials == 0) return {};
  return refuse(*state.entry,
                "Unix socket " + shown_name(state.name) +
                    " that passes credentials (SO_PASSCRED) and has messages waiting,",
                "try again when the program has received them");
}

// Twenty calls for each socket, so not for connections that end at a restore: all that is left to
// do with those is to read what lies in them, and to close them.
Status capture_options(FileContext& context, const UnixState& state) {
  object::UnixSocket* record = state.entry->record.mutable_unix_socket();
  if (record->connection_ends()) return {};
  PD_TRY(context.hold(*state.entry));
  auto [defaults, is_new] = context.memo.unix_defaults.try_emplace(state.info.type);
  if (is_new) defaults->second = default_options(AF_UNIX, state.info.type, common_options());
  return capture_socket_options(state.entry->duplicate.get(), common_options(), defaults->second,
                                record->mutable_options());
}

}  // namespace

namespace {

Status open_diag(FileContext& context) {
  if (context.diag) return {};
  const auto scope = PD_TRY(kernel::NetworkScope::enter(context.members[0].pid));
  context.diag = PD_TRY(kernel::SocketDiag::open());
  return {};
}

// One that was made since all were asked for cannot be: the group stands still. But descriptors in
// flight are met later, and belong to namespaces of their own.
Result<kernel::UnixSocketInfo> read_info(FileContext& context, const OpenFileEntry& entry) {
  const auto found = context.known_unix_sockets.find(static_cast<uint32_t>(entry.file.st_ino));
  if (found != context.known_unix_sockets.end()) return found->second;
  PD_TRY(open_diag(context));
  return context.diag->unix_socket(entry.file.st_ino);
}

}  // namespace

Status prepare_unix_sockets(FileContext& context) {
  // Asking for one takes as long as for ten among all.
  constexpr size_t kSocketsMin = 4;
  constexpr size_t kShare = 10;
  const size_t all = context.memo.unix_sockets;
  if (context.sockets < kSocketsMin || all > context.sockets * kShare) return {};
  PD_TRY(open_diag(context));
  kernel::UnixSockets asked = PD_TRY(context.diag->unix_sockets());
  context.asked_all = true;
  context.memo.unix_sockets = asked.size();
  // What an image tells goes with what was concluded from it.
  context.known_unix_sockets.merge(asked);
  return {};
}

bool is_plain_connection(const FileContext& context, const kernel::FileImage& image) {
  if (!S_ISSOCK(image.mode) || image.family != AF_UNIX || image.has_filter) return false;
  const auto found = context.known_unix_sockets.find(static_cast<uint32_t>(image.inode));
  return found != context.known_unix_sockets.end() && found->second.type == SOCK_STREAM &&
         found->second.state == kStateEstablished;
}

Status capture_unix_socket(FileContext& context, OpenFileEntry& entry) {
  UnixState& state = context.unix_sockets[entry.file.st_ino];
  state.entry = &entry;
  state.info = PD_TRY_WITHIN(entry.where, read_info(context, entry));
  state.name = kernel::unix_name(state.info.address);
  if (!entry.by_image && kernel::has_socket_filter(entry.duplicate.get())) {
    return refuse(entry, "filter on Unix socket " + shown_name(state.name),
                  "let the program remove it");
  }
  object::UnixSocket* record = entry.record.mutable_unix_socket();
  record->set_type(state.info.type);
  record->set_inode(entry.file.st_ino);
  record->set_address(state.name);
  record->set_shutdown(state.info.shutdown);
  if (state.info.state == kStateListen) {
    context.listening_names.insert(state.name);
    record->set_role(object::UnixSocket::LISTENING);
    record->set_backlog(state.info.backlog);
    return capture_path(context, state);
  }
  const bool ended = state.info.state == kStateEstablished && (state.info.shutdown & 1) != 0;
  // Messages may be empty; a stream without bytes is.
  if (state.info.type != SOCK_STREAM || state.info.bytes_waiting > 0) {
    PD_TRY(context.hold(entry));
    PD_TRY(capture_unix_queue(context, entry, state.info.type, ended ? Ended::kYes : Ended::kNo));
    PD_TRY(check_queue(state));
  }
  return capture_path(context, state);
}

Status relate_unix_sockets(FileContext& context) {
  const WaitingClients waiting = waiting_clients(context);
  for (auto& [inode, state] : context.unix_sockets) {
    if (state.info.type == SOCK_DGRAM) {
      PD_TRY(relate_datagram(context, state));
    } else if (state.info.state == kStateEstablished) {
      PD_TRY(relate_connection(context, state, waiting));
    }
    PD_TRY_WITHIN(state.entry->where, capture_options(context, state));
  }
  return {};
}

}  // namespace perdure::capture
