// The engine's event loop: clients on the control socket, the group's end, its terminal while
// nobody looks, and signals to the engine. It runs on the engine's main thread; while a checkpoint
// runs, clients wait. What needs memory that a lazy restore has not brought yet is put off, and
// everybody else is answered meanwhile. Periodic epochs are made here too (daemon/persistence.h).
//
// Invariants: at most one connection holds the terminal, and while one does the server does not
// read it. A client that breaks the protocol loses its connection and nothing else. Only this user
// and root are answered.
#pragma once

#include <list>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "daemon/connection.h"
#include "daemon/group_control.h"
#include "daemon/log.h"
#include "daemon/metrics_port.h"
#include "daemon/persistence.h"
#include "daemon/ring.h"

namespace perdure::daemon {

// A person has a few windows open; a script that leaks connections must not exhaust descriptors.
inline constexpr size_t kConnectionsMax = 64;
// A client sends its request at once; what takes longer is stuck or hostile.
inline constexpr uint64_t kRequestNsMax = 10'000'000'000;
// Screens of output that wait for the next look at a terminal. Well below kFrameBodyMax.
inline constexpr size_t kReplayBytesMax = 256 * 1024;
// Clients that do not take their last answer are left behind.
inline constexpr uint64_t kLingerNs = 2'000'000'000;

enum class ServerEnd : uint8_t { kGroupEnded, kDetached, kShutdown };

struct ServerResult {
  ServerEnd end = ServerEnd::kShutdown;
  std::optional<int> wait_status;  // kGroupEnded, if the engine was the command's parent
};

class Server {
 public:
  Server(GroupControl& group, Fd listener, std::string store, const Clock& clock, Log& log);

  // The connection to the command that launched the engine. waits: it is told of the end;
  // holds_terminal: it has the terminal's master already.
  void adopt(Fd connection, bool waits, bool holds_terminal);
  // The folder where a change of the period is remembered; how the group is saved until then, and
  // the port of its figures: without it if somebody has that.
  void configure(std::string directory, const GroupSettings& settings);
  // Serves until the group ends, is detached, or the engine is told to leave (request, SIGTERM,
  // SIGINT).
  Result<ServerResult> run();

 private:
  void accept_all();
  void serve(Connection& connection);
  void answer_all(Connection& connection);
  void answer(Connection& connection, const control::Request& request);
  bool must_wait(const control::Request& request) const;
  void answer_put_off();
  void refuse_put_off();
  control::Response status_of(const Connection& connection) const;
  control::StatusReply status() const;
  void serve_metrics();
  void checkpoint(Connection& connection, const control::CheckpointRequest& request);
  void resume(Connection& connection, uint64_t period_ns);
  void give_terminal(Connection& connection);
  void pass_signal(Connection& connection, int signal);
  void drain_terminal();
  void drop_finished();
  void tell_end();
  void linger();
  bool terminal_held() const;
  bool poll_once(int signal_fd);
  std::optional<uint64_t> wake_ns() const;
  std::optional<uint64_t> own_wake_ns() const;

  GroupControl& group_;
  Fd listener_;
  std::string store_;
  const Clock& clock_;
  Log& log_;
  std::list<Connection> connections_;
  Persistence persistence_;
  std::string directory_;
  std::optional<MetricsPort> metrics_port_;
  Ring replay_{kReplayBytesMax};
  uint64_t terminal_quiet_until_ns_ = 0;
  std::optional<ServerResult> result_;
};

}  // namespace perdure::daemon
