// Signals as readable events (signalfd(2)) for a single-threaded loop. While it lives the signals
// are blocked for this thread, so it is made only after every process that must not inherit that
// mask has been forked.
#pragma once

#include <signal.h>

#include <initializer_list>
#include <optional>

#include "base/fd.h"
#include "base/result.h"

namespace perdure::kernel {

class SignalFile {
 public:
  static Result<SignalFile> create(std::initializer_list<int> signals);
  SignalFile(SignalFile&& other) noexcept;
  SignalFile& operator=(SignalFile&&) = delete;
  SignalFile(const SignalFile&) = delete;
  // Restores the thread's mask; signals that were not taken are then delivered as usual.
  ~SignalFile();

  int fd() const { return file_.get(); }
  // The next signal that came, or none.
  std::optional<int> take();

 private:
  SignalFile(Fd file, const sigset_t& before) : file_(std::move(file)), before_(before) {}
  Fd file_;
  sigset_t before_;
};

// kill(2). Code::kGone if there is no such process.
Status send_signal(pid_t pid, int signal);

}  // namespace perdure::kernel
