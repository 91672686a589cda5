// Unix stream sockets between the command and a group's engine, with descriptors passed beside the
// bytes. Every socket made here is close-on-exec; nothing here raises SIGPIPE.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"

namespace perdure::kernel {

struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

struct Received {
  size_t bytes = 0;
  bool end = false;  // the peer has closed its side
  std::vector<Fd> descriptors;
};

// A non-blocking listening socket bound to a path, mode 0600. A socket left there by a dead engine
// is replaced: the caller holds the lock that makes it the only engine.
Result<Fd> listen_unix(const std::string& path);
// A blocking connection. Code::kNotFound where nobody listens.
Result<Fd> connect_unix(const std::string& path);
Result<std::pair<Fd, Fd>> control_socket_pair();
// The next connection, or none if nobody waits.
Result<std::optional<Fd>> accept_unix(const Fd& listener);
// Who connected (unix(7), SO_PEERCRED).
Result<PeerCredentials> peer_credentials(const Fd& connection);
Status set_nonblocking(const Fd& file);
// A close-on-exec duplicate; invalid if the descriptor table is full.
Fd duplicate(int descriptor);

// Sends as many bytes as fit now; 0 if none do. A descriptor, if any, travels beside the first
// byte. Code::kGone if the peer went away.
Result<size_t> send_bytes(const Fd& connection, Bytes bytes, int descriptor = -1);
// Receives what is there. On a non-blocking socket nothing there is {0, false}.
Result<Received> receive_bytes(const Fd& connection, MutableBytes buffer);
// True if the file became readable (or ended) within the time; a negative time waits for ever.
Result<bool> wait_readable(int file, std::chrono::milliseconds time);
Result<bool> wait_writable(int file, std::chrono::milliseconds time);

}  // namespace perdure::kernel
