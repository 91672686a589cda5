#include "kernel/control_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace perdure::kernel {
namespace {

// A client that passes more than one descriptor is not ours; room for a few is kept so that they
// are received and closed.
constexpr size_t kDescriptorsMax = 8;
constexpr int kBacklog = 64;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address = {};
  if (path.size() >= sizeof(address.sun_path)) {
    return Error(Code::kInvalid, "socket path " + path + " is longer than 107 bytes")
        .with_remedy("set PERDURE_RUNTIME_DIR to a shorter path");
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<Fd> unix_socket(int extra_flags) {
  Fd made = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | extra_flags, 0));
  if (!made.valid()) return Error::system(errno, "make a control socket");
  return made;
}

Result<bool> wait_for(int file, short events, std::chrono::milliseconds time) {
  pollfd entry = {file, events, 0};
  int timeout = time.count() < 0 ? -1 : static_cast<int>(time.count());
  int ready;
  do {
    ready = ::poll(&entry, 1, timeout);
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) return Error::system(errno, "wait for the control socket");
  return ready > 0;
}

void take_descriptors(msghdr& message, std::vector<Fd>& descriptors) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t at = 0; at < count; ++at) {
      int number;
      std::memcpy(&number, CMSG_DATA(part) + at * sizeof(int), sizeof(int));
      descriptors.push_back(Fd::adopt(number));
    }
  }
}

}  // namespace

Result<Fd> listen_unix(const std::string& path) {
  sockaddr_un address = PD_TRY(address_of(path));
  Fd listener = PD_TRY(unix_socket(SOCK_NONBLOCK));
  if (::unlink(path.c_str()) < 0 && errno != ENOENT) return Error::system(errno, "replace", path);
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
    return Error::system(errno, "bind the control socket", path);
  }
  if (::chmod(path.c_str(), 0600) < 0) return Error::system(errno, "protect", path);
  if (::listen(listener.get(), kBacklog) < 0) return Error::system(errno, "listen on", path);
  return listener;
}

Result<Fd> connect_unix(const std::string& path) {
  sockaddr_un address = PD_TRY(address_of(path));
  Fd connection = PD_TRY(unix_socket(0));
  int done;
  do {
    done = ::connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  } while (done < 0 && errno == EINTR);
  if (done == 0) return connection;
  Error error = Error::system(errno, "connect to", path);
  if (errno == ECONNREFUSED) return std::move(error).with_code(Code::kNotFound);
  return error;
}

Result<std::pair<Fd, Fd>> control_socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
    return Error::system(errno, "make a socket pair");
  }
  return std::pair(Fd::adopt(ends[0]), Fd::adopt(ends[1]));
}

Result<std::optional<Fd>> accept_unix(const Fd& listener) {
  int number;
  do {
    number = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (number < 0 && errno == EINTR);
  if (number >= 0) return std::optional(Fd::adopt(number));
  if (errno == EAGAIN || errno == ECONNABORTED) return std::optional<Fd>();
  return Error::system(errno, "accept a control connection");
}

Result<PeerCredentials> peer_credentials(const Fd& connection) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
    return Error::system(errno, "ask who connected");
  }
  return PeerCredentials{peer.pid, peer.uid, peer.gid};
}

Status set_nonblocking(const Fd& file) {
  int flags = ::fcntl(file.get(), F_GETFL);
  if (flags < 0 || ::fcntl(file.get(), F_SETFL, flags | O_NONBLOCK) < 0) {
    return Error::system(errno, "make a descriptor non-blocking");
  }
  return Ok{};
}

Fd duplicate(int descriptor) { return Fd::adopt(::fcntl(descriptor, F_DUPFD_CLOEXEC, 3)); }

Result<size_t> send_bytes(const Fd& connection, Bytes bytes, int descriptor) {
  iovec part = {const_cast<uint8_t*>(bytes.data()), bytes.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
  }
  ssize_t sent;
  do {
    sent = ::sendmsg(connection.get(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return static_cast<size_t>(sent);
  if (errno == EAGAIN) return size_t{0};
  Error error = Error::system(errno, "send to the control socket");
  if (errno == EPIPE || errno == ECONNRESET) return std::move(error).with_code(Code::kGone);
  return error;
}

Result<Received> receive_bytes(const Fd& connection, MutableBytes buffer) {
  iovec part = {buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsMax * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got;
  do {
    got = ::recvmsg(connection.get(), &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  Received received;
  if (got < 0 && errno == EAGAIN) return received;
  if (got < 0 && errno != ECONNRESET)
    return Error::system(errno, "receive from the control socket");
  if (got > 0) received.bytes = static_cast<size_t>(got);
  received.end = got <= 0;
  take_descriptors(message, received.descriptors);
  return received;
}

Result<bool> wait_readable(int file, std::chrono::milliseconds time) {
  return wait_for(file, POLLIN, time);
}

Result<bool> wait_writable(int file, std::chrono::milliseconds time) {
  return wait_for(file, POLLOUT, time);
}

}  // namespace perdure::kernel
