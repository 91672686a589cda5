// The command's side of the control socket: blocking, one request at a time, each with a time
// limit.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "daemon/frame.h"
#include "daemon/places.h"
#include "engine/options.h"
#include "object/control.pb.h"

namespace perdure::daemon {

// Status: an engine in the middle of a large checkpoint answers afterwards.
inline constexpr std::chrono::milliseconds kStatusTime{5000};
inline constexpr std::chrono::milliseconds kNoLimit{-1};

struct Answer {
  control::Response response;
  Fd descriptor;  // what came beside it
};

class Client {
 public:
  // Code::kNotFound if the group has no engine.
  static Result<Client> connect(const GroupPlace& place);
  // Whether an engine holds the group. The socket of one that was killed accepts connections until
  // its last thread has gone, but answers nothing.
  static bool is_held(const GroupPlace& place);
  // A connection that exists already, to an engine that is being launched.
  static Client over(Fd connection, std::string name) {
    return Client(std::move(connection), std::move(name));
  }

  Result<control::StatusReply> status(std::chrono::milliseconds time = kStatusTime);
  struct Checkpoint {
    engine::FilePolicy files = engine::FilePolicy::kUnchanged;
    bool durable = true;
    uint64_t keep = 0;  // 0: all
  };
  Result<engine::CheckpointReport> checkpoint(const Checkpoint& what);
  // Returns once the group has ended.
  Result<control::Ended> kill();
  Status detach();
  Status shutdown();
  // Periodic epochs.
  Status pause();
  Status resume(uint64_t period_ns);  // 0: as before
  Status pass_signal(int signal);
  // The pty's master, and what was written while nobody looked.
  struct Terminal {
    Fd master;
    std::string replay;
  };
  Result<Terminal> terminal();
  // Asks to be told of the end, without waiting for it: next() gives it.
  Status watch_end();

  // Waits until the engine has left, with the store's lock given up: after an end, a detach or a
  // shutdown.
  void wait_gone();

  int fd() const { return socket_.get(); }
  // The next message; Code::kGone if the engine went away, Code::kTimeout. A failure that the
  // engine reports is an error.
  Result<Answer> next(std::chrono::milliseconds time);
  // Whether it has: what the engine reports may be Code::kGone, too.
  bool ended() const { return ended_; }

 private:
  Client(Fd socket, std::string name) : socket_(std::move(socket)), name_(std::move(name)) {}
  Status send(const control::Request& request);
  Result<Answer> call(const control::Request& request, std::chrono::milliseconds time);
  Status call_for_done(const control::Request& request);
  Error engine_gone() const;

  Fd socket_;
  std::string name_;
  FrameReader reader_;
  Fd descriptor_;
  bool ended_ = false;
};

}  // namespace perdure::daemon
