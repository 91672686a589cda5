#include "kernel/pipe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "kernel/file.h"

namespace perdure::kernel {

Result<std::pair<Fd, Fd>> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::system(errno, "make a pipe");
  return std::pair<Fd, Fd>(Fd::adopt(ends[0]), Fd::adopt(ends[1]));
}

Status make_fifo(const std::string& path, mode_t mode) {
  if (::mkfifo(path.c_str(), mode) != 0) return Error::system(errno, "make the FIFO", path);
  return {};
}

Result<int> pipe_capacity(int fd) {
  const int bytes = ::fcntl(fd, F_GETPIPE_SZ);
  if (bytes < 0) return Error::system(errno, "read the capacity of a pipe");
  return bytes;
}

Status set_pipe_capacity(int fd, int bytes) {
  if (::fcntl(fd, F_SETPIPE_SZ, bytes) < 0) {
    return Error::system(errno, "set the capacity of a pipe to", std::to_string(bytes) + " bytes");
  }
  return {};
}

Result<std::vector<std::string>> peek_pipe(int read_end, int capacity) {
  std::vector<std::string> pieces;
  auto [copy_out, copy_in] = PD_TRY(make_pipe());
  // tee(2) needs a slot for each of the source's: equal capacities hold equal numbers of them.
  if (PD_TRY(pipe_capacity(copy_in.get())) != capacity) {
    PD_TRY(set_pipe_capacity(copy_in.get(), capacity));
  }
  ssize_t copied;
  do {
    copied = ::tee(read_end, copy_in.get(), static_cast<size_t>(INT32_MAX), SPLICE_F_NONBLOCK);
  } while (copied < 0 && errno == EINTR);
  if (copied < 0 && errno != EAGAIN) return Error::system(errno, "copy the content of a pipe");
  copy_in.reset();
  for (ssize_t left = copied; left > 0;) {
    std::optional<std::string> piece = PD_TRY(read_some(copy_out.get(), static_cast<size_t>(left)));
    if (!piece || piece->empty()) return Error(Code::kInternal, "a copied pipe ended early");
    left -= static_cast<ssize_t>(piece->size());
    pieces.push_back(std::move(*piece));
  }
  return pieces;
}

}  // namespace perdure::kernel
