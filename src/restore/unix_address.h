// Names of Unix sockets: bound again, with owner and mode of their files, and connected to.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "kernel/socket.h"
#include "object/file.pb.h"

namespace perdure::restore {

// Does nothing for a socket without a name. A socket file that nobody listens on is replaced;
// kExists if somebody does, or if the file is no socket.
Status bind_unix(int fd, const object::UnixSocket& record);
// Removes the file of a bound path.
Status unlink_unix(const object::UnixSocket& record);
// Sends to the name of a datagram socket of the group.
Status send_unix_message(int fd, const kernel::OutgoingMessage& message,
                         const object::UnixSocket& to);
// Connects to the name of another socket of the group.
Status connect_unix_name(int fd, const object::UnixSocket& to);

}  // namespace perdure::restore
