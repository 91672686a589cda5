#include "kernel/sock_diag.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/bytes.h"

namespace perdure::kernel {
namespace {

// One socket's answer: a listener with a full queue of 4096 clients needs 16 KiB.
constexpr size_t kAnswerBytesMax = 64 * 1024;

struct Request {
  nlmsghdr header;
  unix_diag_req body;
};

Request request_for(uint64_t inode) {
  Request request = {};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = ~0u;
  request.body.udiag_ino = static_cast<uint32_t>(inode);
  request.body.udiag_show =
      UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN;
  request.body.udiag_cookie[0] = ~0u;
  request.body.udiag_cookie[1] = ~0u;
  return request;
}

void parse_attribute(uint16_t type, Bytes value, UnixSocketInfo* info) {
  if (type == UNIX_DIAG_NAME) {
    const sa_family_t family = AF_UNIX;
    info->address.assign(reinterpret_cast<const char*>(&family), sizeof(family));
    info->address.append(reinterpret_cast<const char*>(value.data()), value.size());
  } else if (type == UNIX_DIAG_PEER && value.size() >= 4) {
    info->has_peer = true;
    info->peer_inode = load_le<uint32_t>(value.data());
  } else if (type == UNIX_DIAG_ICONS) {
    for (size_t at = 0; at + 4 <= value.size(); at += 4) {
      info->waiting.push_back(load_le<uint32_t>(value.data() + at));
    }
  } else if (type == UNIX_DIAG_VFS && value.size() >= 8) {
    info->has_file = true;
    info->file_inode = load_le<uint32_t>(value.data());
    info->file_device = load_le<uint32_t>(value.data() + 4);
  } else if (type == UNIX_DIAG_RQLEN && value.size() >= 8) {
    info->waiting_count = load_le<uint32_t>(value.data());
    info->backlog = load_le<uint32_t>(value.data() + 4);
  } else if (type == UNIX_DIAG_SHUTDOWN && !value.empty()) {
    info->shutdown = value[0];
  }
}

Error malformed() { return Error(Code::kInternal, "unexpected answer of sock_diag"); }

struct Answer {
  uint32_t inode = 0;
  UnixSocketInfo info;
};

// message: from its header on, no longer than that says.
Result<Answer> parse_answer(Bytes message) {
  if (message.size() < NLMSG_HDRLEN + sizeof(unix_diag_msg)) return malformed();
  const auto body = load_le<unix_diag_msg>(message.data() + NLMSG_HDRLEN);
  Answer answer;
  answer.inode = body.udiag_ino;
  UnixSocketInfo& info = answer.info;
  info.type = body.udiag_type;
  info.state = body.udiag_state;
  const size_t fixed = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(unix_diag_msg));
  Bytes rest = message.subspan(std::min(fixed, message.size()));
  while (rest.size() >= sizeof(rtattr)) {
    const auto attribute = load_le<rtattr>(rest.data());
    if (attribute.rta_len < sizeof(rtattr) || attribute.rta_len > rest.size()) return malformed();
    parse_attribute(attribute.rta_type,
                    rest.subspan(sizeof(rtattr), attribute.rta_len - sizeof(rtattr)), &info);
    rest = rest.subspan(std::min<size_t>(RTA_ALIGN(attribute.rta_len), rest.size()));
  }
  constexpr uint8_t kListening = 10;  // TCP_LISTEN
  if (info.state != kListening) info.bytes_waiting = info.waiting_count;
  return answer;
}

// An answer that says that there is none, or why.
Status check_message(const nlmsghdr& header, Bytes message) {
  if (header.nlmsg_type != NLMSG_ERROR) return {};
  if (message.size() < NLMSG_HDRLEN + sizeof(int)) return malformed();
  const int error_number = -load_le<int>(message.data() + NLMSG_HDRLEN);
  Error error = Error::system(error_number, "look up a socket");
  return error_number == ENOENT ? std::move(error).with_code(Code::kNotFound) : std::move(error);
}

// The first message of an answer, which becomes shorter by it.
Result<Bytes> take_message(Bytes* answer) {
  if (answer->size() < sizeof(nlmsghdr)) return malformed();
  const auto header = load_le<nlmsghdr>(answer->data());
  if (header.nlmsg_len < sizeof(nlmsghdr) || header.nlmsg_len > answer->size()) return malformed();
  const Bytes message = answer->subspan(0, header.nlmsg_len);
  *answer = answer->subspan(std::min<size_t>(NLMSG_ALIGN(header.nlmsg_len), answer->size()));
  PD_TRY(check_message(header, message));
  return message;
}

Result<Bytes> receive(int socket, uint8_t* buffer) {
  ssize_t got;
  do {
    got = ::recv(socket, buffer, kAnswerBytesMax, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return Error::system(errno, "ask sock_diag");
  return Bytes(buffer, static_cast<size_t>(got));
}

}  // namespace

Result<SocketDiag> SocketDiag::open() {
  Fd socket = Fd::adopt(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!socket.valid()) return Error::system(errno, "open sock_diag");
  return SocketDiag(std::move(socket));
}

Result<UnixSocketInfo> SocketDiag::unix_socket(uint64_t inode) const {
  const Request request = request_for(inode);
  if (::send(socket_.get(), &request, sizeof(request), 0) < 0) {
    return Error::system(errno, "ask sock_diag");
  }
  const auto buffer = std::make_unique_for_overwrite<uint8_t[]>(kAnswerBytesMax);
  Bytes answer = PD_TRY(receive(socket_.get(), buffer.get()));
  const Bytes message = PD_TRY(take_message(&answer));
  return PD_TRY(parse_answer(message)).info;
}

Result<UnixSockets> SocketDiag::unix_sockets() const {
  Request request = request_for(0);
  request.header.nlmsg_flags |= NLM_F_DUMP;
  if (::send(socket_.get(), &request, sizeof(request), 0) < 0) {
    return Error::system(errno, "ask sock_diag");
  }
  UnixSockets sockets;
  const auto buffer = std::make_unique_for_overwrite<uint8_t[]>(kAnswerBytesMax);
  for (;;) {
    Bytes answer = PD_TRY(receive(socket_.get(), buffer.get()));
    if (answer.empty()) return malformed();
    while (!answer.empty()) {
      const Bytes message = PD_TRY(take_message(&answer));
      const auto header = load_le<nlmsghdr>(message.data());
      if (header.nlmsg_type == NLMSG_DONE) return sockets;
      if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY) continue;
      Answer found = PD_TRY(parse_answer(message));
      sockets.insert_or_assign(found.inode, std::move(found.info));
    }
  }
}

}  // namespace perdure::kernel
