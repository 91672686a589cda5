// Pipes: their capacity, and a look at their contents that takes nothing out (tee(2)).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace perdure::kernel {

// Read end, write end.
Result<std::pair<Fd, Fd>> make_pipe();
Status make_fifo(const std::string& path, mode_t mode);
Result<int> pipe_capacity(int fd);
Status set_pipe_capacity(int fd, int bytes);
// What a reader would get, oldest first: one piece for each packet, and one for bytes without
// packet borders. `capacity` is that of the pipe.
Result<std::vector<std::string>> peek_pipe(int read_end, int capacity);

}  // namespace perdure::kernel
