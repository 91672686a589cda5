// One client of the engine, without blocking: bytes in, requests out; answers in, bytes out. What
// arrives may be hostile; what is queued is bounded by the requests that a client may have open
// (one).
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "daemon/frame.h"
#include "object/control.pb.h"

namespace perdure::daemon {

class Connection {
 public:
  // The socket is non-blocking.
  Connection(Fd socket, uint64_t now_ns) : socket_(std::move(socket)), since_ns_(now_ns) {}

  int fd() const { return socket_.get(); }
  // Takes in what has come. An error or the peer's end makes the connection closed().
  void receive(uint64_t now_ns);
  // The next whole request; an error means that the peer does not speak our language.
  Result<std::optional<control::Request>> next_request();
  // Queues an answer, with a descriptor beside it that is duplicated here; sends what fits at once.
  void send(const control::Response& response, int descriptor = -1);
  void flush();

  bool closed() const { return closed_; }
  void close_after_flush() { closing_ = true; }
  bool wants_write() const { return !out_.empty(); }
  // Nothing more to say and told to close.
  bool finished() const { return closed_ || (closing_ && out_.empty()); }
  // In the middle of a request, or of one that never began: since when.
  bool overdue(uint64_t now_ns, uint64_t limit_ns) const;

  bool waits = false;                       // told when the group ends
  bool holds_terminal = false;              // reads the group's terminal
  bool idle_allowed = false;                // has made a request: may stay as long as it likes
  std::optional<control::Request> put_off;  // until it can be answered; nothing is read meanwhile

 private:
  struct Outgoing {
    std::vector<uint8_t> bytes;
    size_t sent = 0;
    Fd descriptor;
  };
  Fd socket_;
  FrameReader reader_;
  std::deque<Outgoing> out_;
  uint64_t since_ns_;
  bool closed_ = false;
  bool closing_ = false;
};

}  // namespace perdure::daemon
