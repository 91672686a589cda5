// Sockets as objects to be taken apart and made again. Descriptors made here are close-on-exec;
// nothing raises SIGPIPE. Addresses are the bytes of a sockaddr, as long as the kernel says.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace perdure::kernel {

Result<Fd> make_socket(int domain, int type, int protocol);
Result<std::pair<Fd, Fd>> make_socket_pair(int type);

// The raw bytes of an option's value. kUnavailable if this kind of socket has no such option.
Result<std::string> socket_option(int fd, int level, int name, size_t size_max);
Result<int> socket_option_int(int fd, int level, int name);
Status set_socket_option(int fd, int level, int name, const std::string& value);
Status set_socket_option_int(int fd, int level, int name, int value);

// Whether a packet filter is attached (SO_ATTACH_FILTER, SO_ATTACH_BPF).
bool has_socket_filter(int fd);

Result<std::string> socket_address(int fd);
// Nothing if the socket is not connected.
Result<std::optional<std::string>> peer_address(int fd);

// sun_path of an AF_UNIX address: as bound, without the NUL that ends a path; a leading NUL is an
// abstract name; empty if unnamed.
std::string unix_name(const std::string& address);
std::string unix_address(const std::string& name);

Status bind_socket(int fd, const std::string& address);
Status listen_socket(int fd, int backlog);
Status connect_socket(int fd, const std::string& address);
Result<Fd> accept_socket(int fd);
Status shutdown_socket(int fd, int how);

// One message. Descriptors in `files` are borrowed. An empty address: to the connected peer.
struct OutgoingMessage {
  std::string data;
  std::vector<int> files;
  std::string address;
};
// Never waits: EAGAIN is a failure.
Status send_message(int fd, const OutgoingMessage& message);

struct PeekedMessage {
  std::string data;
  std::vector<Fd> files;  // duplicates of what is in flight
  std::string sender;     // sockaddr bytes; empty: unnamed or connected
  bool data_truncated = false;
};
// Looks at what lies at the socket's peek offset, at most size_max bytes, and moves that offset on;
// the queue stays as it is. Nothing if there is no more.
Result<std::optional<PeekedMessage>> peek_message(int fd, size_t size_max);
// The same, and takes it out.
Result<std::optional<PeekedMessage>> take_message(int fd, size_t size_max);

// Of a stream whose next `size` bytes, at the peek offset, end with a whole message: where that
// message begins. The peek offset moves.
Result<size_t> start_of_last_message(int fd, size_t size);

// SO_PEEK_OFF of a Unix socket set for a walk over its queue, and put back as it was.
class PeekWalk {
 public:
  static Result<PeekWalk> begin(int fd);
  PeekWalk(PeekWalk&& other) noexcept : fd_(std::exchange(other.fd_, -1)), before_(other.before_) {}
  PeekWalk& operator=(PeekWalk&&) = delete;
  ~PeekWalk();
  Status move_to(uint64_t offset);
  int offset_before() const { return before_; }

 private:
  PeekWalk(int fd, int before) : fd_(fd), before_(before) {}
  int fd_;
  int before_;
};

// All that waits in a connected stream, in one look; nothing if that cannot show it: it is more
// than size_max, descriptors or credentials are among it, a part of it is out of band, or the
// program looks itself (SO_PEEK_OFF).
Result<std::optional<std::string>> peek_plain_stream(int fd, size_t size_max);

// Bytes that wait to be received (SIOCINQ), and that were sent and not yet received by the peer
// (SIOCOUTQ).
Result<int> bytes_waiting(int fd);
Result<int> bytes_in_flight(int fd);

// backlog and waiting connections of a listening TCP socket (TCP_INFO).
struct TcpQueue {
  uint32_t backlog = 0;
  uint32_t waiting = 0;
};
Result<TcpQueue> tcp_listen_queue(int fd);

// The calling thread is in another process's network namespace until the end of the scope. Does
// nothing if it is the same.
class NetworkScope {
 public:
  static Result<NetworkScope> enter(pid_t pid);
  NetworkScope(NetworkScope&& other) noexcept : home_(std::move(other.home_)) {}
  NetworkScope& operator=(NetworkScope&&) = delete;
  ~NetworkScope();

 private:
  explicit NetworkScope(Fd home) : home_(std::move(home)) {}
  Fd home_;
};

}  // namespace perdure::kernel
