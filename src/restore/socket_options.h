// Options of a socket, set where they differ from what a fresh socket has, so that nothing needs a
// privilege for no reason.
#pragma once

#include <string>

#include "base/result.h"
#include "object/file.pb.h"

namespace perdure::restore {

using SocketOptions = google::protobuf::RepeatedPtrField<object::SocketOption>;

Status apply_socket_options(int fd, const SocketOptions& options);
// One option, if it was saved; for those that must precede bind(2).
Status apply_socket_option(int fd, const SocketOptions& options, int level, int name);
// Room for `bytes` in flight from this socket, whatever its buffer was: SO_SNDBUF is applied later.
Status widen_send_buffer(int fd, size_t bytes);

}  // namespace perdure::restore
