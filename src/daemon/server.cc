#include "daemon/server.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <utility>
#include <vector>

#include "daemon/message.h"
#include "daemon/metrics.h"
#include "kernel/control_socket.h"
#include "kernel/poll_until.h"
#include "kernel/signal_file.h"
#include "kernel/terminal_mode.h"

namespace perdure::daemon {
namespace {

// How often stuck clients are looked for while there are any.
constexpr uint64_t kHousekeepingNs = 1'000'000'000;
// A terminal that nobody has open reads as ended until somebody opens it again.
constexpr uint64_t kTerminalQuietNs = 200'000'000;

control::Response failure_of(const Error& error) {
  control::Response response;
  write_error(error, *response.mutable_failure());
  return response;
}

control::Response done() {
  control::Response response;
  response.mutable_done();
  return response;
}

control::Response response_of(const Status& status) {
  return status.ok() ? done() : failure_of(status.error());
}

}  // namespace

Server::Server(GroupControl& group, Fd listener, std::string store, const Clock& clock, Log& log)
    : group_(group),
      listener_(std::move(listener)),
      store_(std::move(store)),
      clock_(clock),
      log_(log),
      persistence_(group, clock, log) {}

void Server::configure(std::string directory, const GroupSettings& settings) {
  directory_ = std::move(directory);
  persistence_.configure(settings);
  if (settings.metrics_port == 0) return;
  auto port = MetricsPort::listen(settings.metrics_port);
  if (!port.ok()) return log_.warn("no figures are served: " + port.error().to_string());
  metrics_port_.emplace(std::move(*port));
}

void Server::adopt(Fd connection, bool waits, bool holds_terminal) {
  Connection& adopted = connections_.emplace_back(std::move(connection), clock_.monotonic_ns());
  adopted.waits = waits;
  adopted.holds_terminal = holds_terminal;
  adopted.idle_allowed = true;
}

Result<ServerResult> Server::run() {
  kernel::SignalFile signals = PD_TRY(kernel::SignalFile::create({SIGTERM, SIGINT, SIGHUP}));
  while (!result_) {
    if (!poll_once(signals.fd())) return Error::system(errno, "wait for clients");
    while (std::optional<int> signal = signals.take()) {
      if (*signal == SIGHUP) continue;
      log_.info(fmt::format("told to leave by signal {}; the group runs on", *signal));
      result_ = ServerResult{ServerEnd::kShutdown, {}};
    }
    drop_finished();
  }
  metrics_port_.reset();  // before anybody who is told of the end restores the group
  refuse_put_off();
  if (result_->end == ServerEnd::kGroupEnded) tell_end();
  linger();
  return *result_;
}

bool Server::poll_once(int signal_fd) {
  constexpr size_t kFixed = 6;
  std::array<pollfd, kFixed + kConnectionsMax> entries;
  uint64_t now = clock_.monotonic_ns();
  bool read_terminal =
      group_.terminal_fd() >= 0 && !terminal_held() && now >= terminal_quiet_until_ns_;
  entries[0] = {signal_fd, POLLIN, 0};
  entries[1] = {group_.end_fd(), POLLIN, 0};
  entries[2] = {connections_.size() < kConnectionsMax ? listener_.get() : -1, POLLIN, 0};
  entries[3] = {read_terminal ? group_.terminal_fd() : -1, POLLIN, 0};
  entries[4] = {group_.durable_fd(), POLLIN, 0};
  entries[5] = {metrics_port_ ? metrics_port_->fd() : -1, POLLIN, 0};
  size_t count = kFixed;
  for (Connection& connection : connections_) {
    short events = connection.put_off ? 0 : POLLIN;
    if (connection.wants_write()) events |= POLLOUT;
    entries[count++] = {connection.fd(), events, 0};
  }
  if (kernel::poll_until(std::span(entries).first(count), wake_ns()) < 0) return errno == EINTR;

  if (group_.next_service_ms() == 0) group_.serve();
  if (entries[4].revents != 0) persistence_.take_durable();
  if (entries[1].revents == 0) {
    answer_put_off();
    persistence_.serve();
  }
  if ((entries[3].revents & (POLLIN | POLLHUP)) != 0) drain_terminal();
  if (entries[5].revents != 0) serve_metrics();
  size_t at = kFixed;
  for (Connection& connection : connections_) {
    short events = entries[at++].revents;
    if ((events & POLLOUT) != 0) connection.flush();
    if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) serve(connection);
  }
  if (entries[2].revents != 0) accept_all();
  if (entries[1].revents != 0 && !result_) {
    result_ = ServerResult{ServerEnd::kGroupEnded, group_.wait_status()};
  }
  return true;
}

std::optional<uint64_t> Server::wake_ns() const {
  std::optional<uint64_t> wake = own_wake_ns();
  const auto sooner = [&wake](std::optional<uint64_t> other) {
    if (other && (!wake || *other < *wake)) wake = other;
  };
  sooner(persistence_.due_ns());
  const int group = group_.next_service_ms();
  if (group >= 0) sooner(clock_.monotonic_ns() + static_cast<uint64_t>(group) * 1'000'000);
  return wake;
}

std::optional<uint64_t> Server::own_wake_ns() const {
  bool watches_terminal = group_.terminal_fd() >= 0 && !terminal_held();
  if (watches_terminal && clock_.monotonic_ns() < terminal_quiet_until_ns_)
    return terminal_quiet_until_ns_;
  if (connections_.empty()) return std::nullopt;
  return clock_.monotonic_ns() + kHousekeepingNs;
}

void Server::accept_all() {
  while (connections_.size() < kConnectionsMax) {
    auto accepted = kernel::accept_unix(listener_);
    if (!accepted.ok()) {
      log_.warn(accepted.error().message());
      return;
    }
    if (!accepted->has_value()) return;
    auto peer = kernel::peer_credentials(**accepted);
    if (!peer.ok() || (peer->uid != 0 && peer->uid != ::geteuid())) continue;
    // Its first request is often there already.
    serve(connections_.emplace_back(std::move(**accepted), clock_.monotonic_ns()));
  }
}

void Server::serve(Connection& connection) {
  connection.receive(clock_.monotonic_ns());
  answer_all(connection);
}

void Server::answer_all(Connection& connection) {
  // Whole requests that came before the end are still answered; more than a handful at once is no
  // client of ours.
  constexpr int kRequestsAtOnceMax = 16;
  for (int served = 0; served < kRequestsAtOnceMax && !result_ && !connection.put_off; ++served) {
    auto request = connection.next_request();
    if (!request.ok()) {
      connection.send(failure_of(request.error()));
      connection.close_after_flush();
      return;
    }
    if (!request->has_value()) return;
    if (must_wait(**request)) {
      connection.put_off = std::move(**request);
    } else {
      answer(connection, **request);
    }
  }
}

bool Server::must_wait(const control::Request& request) const {
  return (request.has_checkpoint() && group_.save_awaits_pages()) ||
         (request.has_detach() && group_.awaits_pages());
}

void Server::answer_put_off() {
  for (Connection& connection : connections_) {
    if (!connection.put_off || result_ || must_wait(*connection.put_off)) continue;
    const control::Request request = *std::exchange(connection.put_off, std::nullopt);
    answer(connection, request);
    answer_all(connection);
  }
}

void Server::refuse_put_off() {
  Error why(Code::kGone, result_->end == ServerEnd::kGroupEnded
                             ? group_.lazy_failure().value_or("the group has ended")
                             : "the engine was told to leave");
  for (Connection& connection : connections_) {
    if (std::exchange(connection.put_off, std::nullopt)) connection.send(failure_of(why));
  }
}

void Server::answer(Connection& connection, const control::Request& request) {
  switch (request.verb_case()) {
    case control::Request::kStatus:
      return connection.send(status_of(connection));
    case control::Request::kCheckpoint:
      return checkpoint(connection, request.checkpoint());
    case control::Request::kTerminal:
      return give_terminal(connection);
    case control::Request::kWait:
      connection.waits = true;
      return;
    case control::Request::kSignal:
      return pass_signal(connection, request.signal().signal());
    case control::Request::kKill: {
      Status killed = group_.kill();
      if (!killed.ok()) return connection.send(failure_of(killed.error()));
      log_.info("the group is killed on request");
      persistence_.stop();
      connection.waits = true;
      return;
    }
    case control::Request::kPause:
      persistence_.pause();
      return connection.send(done());
    case control::Request::kResume:
      return resume(connection, request.resume().period_ns());
    case control::Request::kDetach: {
      Status detached = group_.detach();
      if (detached.ok()) metrics_port_.reset();
      connection.send(response_of(detached));
      if (detached.ok()) result_ = ServerResult{ServerEnd::kDetached, {}};
      return;
    }
    case control::Request::kShutdown:
      metrics_port_.reset();
      connection.send(done());
      result_ = ServerResult{ServerEnd::kShutdown, {}};
      return;
    case control::Request::VERB_NOT_SET:
      break;
  }
  connection.send(failure_of(
      Error(Code::kInvalid, "control message: a request that this engine does not know")));
}

control::Response Server::status_of(const Connection& connection) const {
  control::Response response;
  *response.mutable_status() = status();
  response.mutable_status()->set_terminal_in_use(terminal_held() && !connection.holds_terminal);
  return response;
}

control::StatusReply Server::status() const {
  control::StatusReply status;
  status.set_name(group_.name());
  status.set_engine_pid(::getpid());
  status.set_root_pid(group_.root_pid());
  for (pid_t pid : group_.processes()) status.add_processes(pid);
  status.set_has_terminal(group_.terminal_fd() >= 0);
  status.set_store(store_);
  status.set_lazy_pages_left(group_.lazy_pages_left());
  if (metrics_port_) status.set_metrics_port(metrics_port_->port());
  persistence_.describe(*status.mutable_persistence());
  return status;
}

// How large the folder is would take a walk through it, which the group would wait for.
void Server::serve_metrics() {
  metrics_port_->serve([this] {
    const GroupMetrics own{status(), std::nullopt};
    return metrics_text({&own, 1});
  });
}

void Server::checkpoint(Connection& connection, const control::CheckpointRequest& request) {
  engine::CheckpointOptions options;
  if (request.files_volatile()) options.files = engine::FilePolicy::kVolatile;
  options.durable = request.durable();
  auto report = persistence_.save(options, request.keep());
  if (!report.ok()) return connection.send(failure_of(report.error()));
  control::Response response;
  write_report(*report, *response.mutable_checkpoint());
  connection.send(response);
}

void Server::resume(Connection& connection, uint64_t period_ns) {
  if (period_ns != 0) {
    persistence_.set_period(period_ns);
    SettingsChange change;
    change.every_ns = period_ns;
    auto remembered = change_settings(directory_, change);
    if (!remembered.ok()) return connection.send(failure_of(remembered.error()));
  } else {
    persistence_.resume();
  }
  connection.send(done());
}

void Server::give_terminal(Connection& connection) {
  if (group_.terminal_fd() < 0) {
    return connection.send(failure_of(
        Error(Code::kNotFound, "group " + group_.name() + " has no terminal")
            .with_remedy("only `perdure run` on a terminal, without -d, gives a group one")));
  }
  if (terminal_held()) {
    return connection.send(
        failure_of(Error(Code::kBusy, "the terminal of group " + group_.name() + " is in use")
                       .with_remedy("leave it there first (Ctrl-] d)")));
  }
  control::Response response;
  response.mutable_terminal()->set_replay(replay_.take());
  connection.holds_terminal = true;
  connection.send(response, group_.terminal_fd());
}

void Server::pass_signal(Connection& connection, int signal) {
  if (signal <= 0 || signal > SIGRTMAX) {
    return connection.send(failure_of(Error(Code::kInvalid, "no such signal")));
  }
  // What a keyboard sends, it sends to all processes of the command's process group.
  bool from_keyboard = signal == SIGINT || signal == SIGQUIT;
  pid_t root = group_.root_pid();
  Status sent = from_keyboard ? kernel::send_signal(-root, signal) : Status(Error(Code::kGone, ""));
  if (!sent.ok()) sent = kernel::send_signal(root, signal);
  connection.send(response_of(sent));
}

void Server::drain_terminal() {
  std::array<uint8_t, 4096> buffer;
  auto got = kernel::read_terminal(group_.terminal_fd(), buffer);
  if (got.ok() && *got > 0) {
    replay_.write(Bytes(buffer).first(*got));
  } else {
    terminal_quiet_until_ns_ = clock_.monotonic_ns() + kTerminalQuietNs;
  }
}

bool Server::terminal_held() const {
  return std::any_of(connections_.begin(), connections_.end(),
                     [](const Connection& connection) { return connection.holds_terminal; });
}

void Server::drop_finished() {
  uint64_t now = clock_.monotonic_ns();
  connections_.remove_if([now](const Connection& connection) {
    return connection.finished() || connection.overdue(now, kRequestNsMax);
  });
}

void Server::tell_end() {
  control::Response response;
  control::Ended& ended = *response.mutable_ended();
  ended.set_known(result_->wait_status.has_value());
  ended.set_wait_status(result_->wait_status.value_or(0));
  for (Connection& connection : connections_) {
    if (connection.waits) connection.send(response);
  }
}

// Answers that did not fit into a socket at once get a last chance.
void Server::linger() {
  uint64_t until = clock_.monotonic_ns() + kLingerNs;
  for (Connection& connection : connections_) {
    while (!connection.closed() && connection.wants_write() && clock_.monotonic_ns() < until) {
      (void)kernel::wait_writable(connection.fd(), std::chrono::milliseconds(100)).ok();
      connection.flush();
    }
  }
}

}  // namespace perdure::daemon
