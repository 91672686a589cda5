#include "kernel/sock_diag.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>

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
  request.body.udiag_show = UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN;
  request.body.udiag_cookie[0] = ~0u;
  request.body.udiag_cookie[1] = ~0u;
  return request;
}

void parse_attribute(uint16_t type, Bytes value, UnixSocketInfo* info) {
  if (type == UNIX_DIAG_PEER && value.size() >= 4) {
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

Result<UnixSocketInfo> parse_answer(Bytes answer) {
  const Error malformed(Code::kInternal, "unexpected answer of sock_diag");
  if (answer.size() < sizeof(nlmsghdr)) return malformed;
  const auto header = load_le<nlmsghdr>(answer.data());
  if (header.nlmsg_len > answer.size()) return malformed;
  if (header.nlmsg_type == NLMSG_ERROR && answer.size() >= NLMSG_HDRLEN + sizeof(int)) {
    const int error_number = -load_le<int>(answer.data() + NLMSG_HDRLEN);
    Error error = Error::system(error_number, "look up a socket");
    return error_number == ENOENT ? std::move(error).with_code(Code::kNotFound) : std::move(error);
  }
  if (header.nlmsg_len < NLMSG_HDRLEN + sizeof(unix_diag_msg)) return malformed;
  const auto body = load_le<unix_diag_msg>(answer.data() + NLMSG_HDRLEN);
  UnixSocketInfo info;
  info.type = body.udiag_type;
  info.state = body.udiag_state;
  Bytes rest = answer.subspan(NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(unix_diag_msg)),
                              header.nlmsg_len - NLMSG_HDRLEN - NLMSG_ALIGN(sizeof(unix_diag_msg)));
  while (rest.size() >= sizeof(rtattr)) {
    const auto attribute = load_le<rtattr>(rest.data());
    if (attribute.rta_len < sizeof(rtattr) || attribute.rta_len > rest.size()) return malformed;
    parse_attribute(attribute.rta_type,
                    rest.subspan(sizeof(rtattr), attribute.rta_len - sizeof(rtattr)), &info);
    rest = rest.subspan(std::min<size_t>(RTA_ALIGN(attribute.rta_len), rest.size()));
  }
  return info;
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
  const auto answer = std::make_unique_for_overwrite<uint8_t[]>(kAnswerBytesMax);
  ssize_t got;
  do {
    got = ::recv(socket_.get(), answer.get(), kAnswerBytesMax, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return Error::system(errno, "ask sock_diag");
  return parse_answer(Bytes(answer.get(), static_cast<size_t>(got)));
}

}  // namespace perdure::kernel
