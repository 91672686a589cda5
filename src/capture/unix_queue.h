// What waits in the receive queue of a Unix socket: looked at with MSG_PEEK, so that it stays
// there.
#pragma once

#include "base/result.h"
#include "capture/file_kinds.h"

namespace perdure::capture {

// Appends the queue of a socket that is not listening to its record; descriptors in flight join the
// table. peer_gone: nothing more can come.
enum class Ended : uint8_t { kNo, kYes };
Status capture_unix_queue(FileContext& context, OpenFileEntry& entry, int type, Ended ended);

// The kernel marks an empty message when it is looked at, and passes over it at the next look
// unless it is the oldest. So a queue with empty messages is taken out and sent again, from the
// sockets that it came from, while every process is stopped; one whose senders are gone is left as
// it is.
Status requeue_empty_messages(FileContext& context);

}  // namespace perdure::capture
