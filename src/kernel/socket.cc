#include "kernel/socket.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/assert.h"
#include "base/bytes.h"
#include "kernel/retrying.h"

namespace perdure::kernel {
namespace {

// SCM_MAX_FD of the kernel: descriptors in one message.
constexpr size_t kFilesPerMessageMax = 253;

std::string numbered(int fd) { return "socket " + std::to_string(fd); }

const sockaddr* raw(const std::string& address) {
  return reinterpret_cast<const sockaddr*>(address.data());
}

std::vector<Fd> take_files(const msghdr& header) {
  std::vector<Fd> files;
  for (const cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr;
       part = CMSG_NXTHDR(const_cast<msghdr*>(&header), const_cast<cmsghdr*>(part))) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      files.push_back(Fd::adopt(load_le<int>(CMSG_DATA(part) + i * sizeof(int))));
    }
  }
  return files;
}

Result<int> queue_size(int fd, unsigned long request) {
  int size = 0;
  if (::ioctl(fd, request, &size) != 0)
    return Error::system(errno, "read the queue of", numbered(fd));
  return size;
}

}  // namespace

Result<Fd> make_socket(int domain, int type, int protocol) {
  const int fd = ::socket(domain, type | SOCK_CLOEXEC, protocol);
  if (fd < 0) return Error::system(errno, "make a socket");
  return Fd::adopt(fd);
}

Result<std::pair<Fd, Fd>> make_socket_pair(int type) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) {
    return Error::system(errno, "make a pair of sockets");
  }
  return std::pair<Fd, Fd>(Fd::adopt(fds[0]), Fd::adopt(fds[1]));
}

Result<std::string> socket_option(int fd, int level, int name, size_t size_max) {
  std::string value(size_max, '\0');
  socklen_t size = static_cast<socklen_t>(size_max);
  if (::getsockopt(fd, level, name, value.data(), &size) != 0) {
    const int error_number = errno == ENOPROTOOPT ? EOPNOTSUPP : errno;
    return Error::system(error_number, "read option " + std::to_string(name) + " of", numbered(fd));
  }
  value.resize(std::min<size_t>(size, size_max));
  return value;
}

Result<int> socket_option_int(int fd, int level, int name) {
  const std::string value = PD_TRY(socket_option(fd, level, name, sizeof(int)));
  if (value.size() != sizeof(int)) return Error(Code::kUnavailable, "an option is no number");
  return load_le<int>(reinterpret_cast<const uint8_t*>(value.data()));
}

Status set_socket_option(int fd, int level, int name, const std::string& value) {
  // SO_PEEK_OFF takes a lock that a signal interrupts (unix_set_peek_off).
  const auto size = static_cast<socklen_t>(value.size());
  if (retrying([&] { return ::setsockopt(fd, level, name, value.data(), size); }) != 0) {
    return Error::system(errno, "set option " + std::to_string(name) + " of", numbered(fd));
  }
  return {};
}

Status set_socket_option_int(int fd, int level, int name, int value) {
  return set_socket_option(fd, level, name,
                           std::string(reinterpret_cast<const char*>(&value), sizeof(value)));
}

bool has_socket_filter(int fd) {
  // Asked with no room, a classic filter tells its number of instructions; an eBPF program fails
  // with EACCES.
  socklen_t length = 0;
  return ::getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, nullptr, &length) != 0 || length > 0;
}

Result<std::string> socket_address(int fd) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return Error::system(errno, "read the address of", numbered(fd));
  }
  return std::string(reinterpret_cast<const char*>(&storage), size);
}

Result<std::optional<std::string>> peer_address(int fd) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    if (errno == ENOTCONN || errno == EINVAL) return std::optional<std::string>();
    return Error::system(errno, "read the peer of", numbered(fd));
  }
  return std::optional<std::string>(std::string(reinterpret_cast<const char*>(&storage), size));
}

std::string unix_name(const std::string& address) {
  constexpr size_t kHeader = offsetof(sockaddr_un, sun_path);
  if (address.size() <= kHeader) return {};
  std::string name = address.substr(kHeader);
  if (name[0] != '\0') name.resize(std::min(name.find('\0'), name.size()));
  return name;
}

std::string unix_address(const std::string& name) {
  constexpr size_t kHeader = offsetof(sockaddr_un, sun_path);
  const sa_family_t family = AF_UNIX;
  std::string address(kHeader, '\0');
  std::memcpy(address.data(), &family, sizeof(family));
  address += name;
  const bool path = !name.empty() && name[0] != '\0';
  if (path && address.size() < sizeof(sockaddr_un)) address.push_back('\0');
  return address;
}

Status bind_socket(int fd, const std::string& address) {
  if (::bind(fd, raw(address), static_cast<socklen_t>(address.size())) != 0) {
    return Error::system(errno, "bind", numbered(fd));
  }
  return {};
}

Status listen_socket(int fd, int backlog) {
  if (::listen(fd, backlog) != 0) return Error::system(errno, "listen on", numbered(fd));
  return {};
}

Status connect_socket(int fd, const std::string& address) {
  if (retrying([&] {
        return ::connect(fd, raw(address), static_cast<socklen_t>(address.size()));
      }) != 0) {
    return Error::system(errno, "connect", numbered(fd));
  }
  return {};
}

Result<Fd> accept_socket(int fd) {
  const int made = retrying([&] { return ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC); });
  if (made < 0) return Error::system(errno, "accept from", numbered(fd));
  return Fd::adopt(made);
}

Status shutdown_socket(int fd, int how) {
  if (::shutdown(fd, how) != 0) return Error::system(errno, "shut down", numbered(fd));
  return {};
}

Status send_message(int fd, const OutgoingMessage& message) {
  PD_ASSERT(message.files.size() <= kFilesPerMessageMax);
  iovec data = {const_cast<char*>(message.data.data()), message.data.size()};
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(kFilesPerMessageMax * sizeof(int))> control = {};
  msghdr header = {};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (!message.address.empty()) {
    header.msg_name = const_cast<char*>(message.address.data());
    header.msg_namelen = static_cast<socklen_t>(message.address.size());
  }
  if (!message.files.empty()) {
    const size_t bytes = message.files.size() * sizeof(int);
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(part), message.files.data(), bytes);
  }
  const ssize_t sent =
      retrying([&] { return ::sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL); });
  if (sent < 0) return Error::system(errno, "send to", numbered(fd));
  if (static_cast<size_t>(sent) == message.data.size()) return {};
  // A stream takes part of a large message; the descriptors went with the first part.
  return send_message(fd, {message.data.substr(static_cast<size_t>(sent)), {}, message.address});
}

namespace {

Result<std::optional<PeekedMessage>> receive(int fd, size_t size_max, int flags) {
  PeekedMessage message;
  message.data.resize(size_max);
  sockaddr_storage sender = {};
  iovec data = {message.data.data(), size_max};
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(kFilesPerMessageMax * sizeof(int)) + 256>
      control = {};
  msghdr header = {};
  header.msg_name = &sender;
  header.msg_namelen = sizeof(sender);
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t got =
      retrying([&] { return ::recvmsg(fd, &header, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC); });
  if (got < 0 && (errno == EAGAIN || errno == ENOTCONN || errno == EINVAL)) {
    return std::optional<PeekedMessage>();
  }
  if (got < 0) return Error::system(errno, "look into the queue of", numbered(fd));
  message.files = take_files(header);
  if ((header.msg_flags & MSG_CTRUNC) != 0) {
    return Error(Code::kLimit, "too many descriptors in flight, or too few left to look at them");
  }
  message.data_truncated = (header.msg_flags & MSG_TRUNC) != 0;
  message.data.resize(static_cast<size_t>(got));
  message.sender.assign(reinterpret_cast<const char*>(&sender), header.msg_namelen);
  return std::optional<PeekedMessage>(std::move(message));
}

}  // namespace

Result<std::optional<PeekedMessage>> peek_message(int fd, size_t size_max) {
  return receive(fd, size_max, MSG_PEEK);
}

Result<std::optional<PeekedMessage>> take_message(int fd, size_t size_max) {
  return receive(fd, size_max, 0);
}

// The kernel copies message by message, and counts one only when it was copied whole
// (unix_stream_read_generic). A last byte that cannot be written fails the last message, so that
// the count tells where it begins.
Result<size_t> start_of_last_message(int fd, size_t size) {
  PD_ASSERT(size > 0);
  constexpr size_t kPage = 4096;
  void* wall = ::mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (wall == MAP_FAILED) return Error::system(errno, "map a page");
  std::string data(size - 1, '\0');
  iovec parts[2] = {{data.data(), size - 1}, {wall, 1}};
  msghdr header = {};
  header.msg_iov = parts;
  header.msg_iovlen = 2;
  const ssize_t got = retrying([&] { return ::recvmsg(fd, &header, MSG_PEEK | MSG_DONTWAIT); });
  const int error_number = errno;
  ::munmap(wall, kPage);
  if (got >= 0) return static_cast<size_t>(got);
  if (error_number == EFAULT) return size_t{0};
  return Error::system(error_number, "look into the queue of", numbered(fd));
}

Result<PeekWalk> PeekWalk::begin(int fd) {
  const int before = PD_TRY(socket_option_int(fd, SOL_SOCKET, SO_PEEK_OFF));
  PeekWalk walk(fd, before);
  PD_TRY(walk.move_to(0));
  return walk;
}

PeekWalk::~PeekWalk() {
  if (fd_ < 0) return;
  const Status restored = set_socket_option_int(fd_, SOL_SOCKET, SO_PEEK_OFF, before_);
  PD_ASSERT(restored.ok());
}

Status PeekWalk::move_to(uint64_t offset) {
  return set_socket_option_int(fd_, SOL_SOCKET, SO_PEEK_OFF, static_cast<int>(offset));
}

// What was there when its size was asked for is there whole if the look ends behind it. Descriptors
// find no room, and are told of instead.
Result<std::optional<std::string>> peek_plain_stream(int fd, size_t size_max) {
  const bool moves = PD_TRY(socket_option_int(fd, SOL_SOCKET, SO_PEEK_OFF)) >= 0;
  const auto waiting = static_cast<size_t>(PD_TRY(bytes_waiting(fd)));
  if (moves || waiting > size_max) return std::optional<std::string>();
  std::string data(waiting + 1, '\0');
  iovec part = {data.data(), data.size()};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  const ssize_t got = retrying([&] { return ::recvmsg(fd, &header, MSG_PEEK | MSG_DONTWAIT); });
  if (got < 0 && errno == EAGAIN && waiting == 0) return std::optional<std::string>(std::string());
  if (got < 0) return Error::system(errno, "look into the queue of", numbered(fd));
  const bool whole = static_cast<size_t>(got) >= waiting && (header.msg_flags & MSG_CTRUNC) == 0;
  if (!whole) return std::optional<std::string>();
  data.resize(static_cast<size_t>(got));
  return std::optional<std::string>(std::move(data));
}

Result<int> bytes_waiting(int fd) { return queue_size(fd, SIOCINQ); }
Result<int> bytes_in_flight(int fd) { return queue_size(fd, SIOCOUTQ); }

Result<TcpQueue> tcp_listen_queue(int fd) {
  const std::string value = PD_TRY(socket_option(fd, IPPROTO_TCP, TCP_INFO, sizeof(tcp_info)));
  tcp_info info = {};
  std::memcpy(&info, value.data(), std::min(value.size(), sizeof(info)));
  // tcp_get_info() in the kernel: a listening socket reports its accept queue in these two.
  return TcpQueue{info.tcpi_sacked, info.tcpi_unacked};
}

Result<NetworkScope> NetworkScope::enter(pid_t pid) {
  const std::string theirs = "/proc/" + std::to_string(pid) + "/ns/net";
  struct stat own, other;
  if (::stat("/proc/thread-self/ns/net", &own) != 0 || ::stat(theirs.c_str(), &other) != 0) {
    return Error::system(errno, "read the network namespace of process", std::to_string(pid));
  }
  if (own.st_ino == other.st_ino && own.st_dev == other.st_dev) return NetworkScope(Fd());
  Fd home = Fd::adopt(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  Fd target = Fd::adopt(::open(theirs.c_str(), O_RDONLY | O_CLOEXEC));
  if (!home.valid() || !target.valid() || ::setns(target.get(), CLONE_NEWNET) != 0) {
    return Error::system(errno, "enter the network namespace of process", std::to_string(pid));
  }
  return NetworkScope(std::move(home));
}

NetworkScope::~NetworkScope() {
  // An engine that stayed in a foreign namespace would act on the wrong sockets.
  if (home_.valid()) PD_ASSERT(::setns(home_.get(), CLONE_NEWNET) == 0);
}

}  // namespace perdure::kernel
