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

}  // namespace perdure::capture
