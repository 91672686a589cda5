#include "kernel/signal_file.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

namespace perdure::kernel {

Result<SignalFile> SignalFile::create(std::initializer_list<int> signals) {
  sigset_t mask, before;
  ::sigemptyset(&mask);
  for (int signal : signals) ::sigaddset(&mask, signal);
  Fd file = Fd::adopt(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!file.valid()) return Error::system(errno, "make a signal descriptor");
  if (::sigprocmask(SIG_BLOCK, &mask, &before) < 0) return Error::system(errno, "block signals");
  return SignalFile(std::move(file), before);
}

SignalFile::SignalFile(SignalFile&& other) noexcept
    : file_(std::move(other.file_)), before_(other.before_) {}

SignalFile::~SignalFile() {
  if (file_.valid()) ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

Status send_signal(pid_t pid, int signal) {
  if (::kill(pid, signal) == 0) return Ok{};
  return Error::system(errno, "signal process", std::to_string(pid));
}

std::optional<int> SignalFile::take() {
  signalfd_siginfo info;
  ssize_t got;
  do {
    got = ::read(file_.get(), &info, sizeof(info));
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(sizeof(info))) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace perdure::kernel
