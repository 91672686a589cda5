#include "daemon/metrics_port.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <string_view>

#include "kernel/control_socket.h"
#include "kernel/event_files.h"
#include "kernel/socket.h"

namespace perdure::daemon {
namespace {

// Edges: an event is spent once it is taken, so that the epoll instance is readable only when
// something new has come, whatever we could not do yet.
constexpr uint32_t kListenerEvents = EPOLLIN | EPOLLET;
constexpr uint32_t kClientEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

std::string response(std::string_view status, std::string_view type, std::string_view body) {
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
      status, type, body.size(), body);
}

constexpr std::string_view kPlainText = "text/plain; charset=utf-8";

// The answer to a request whose head is whole.
std::string answer_to(std::string_view request, const std::function<std::string()>& text) {
  const std::string_view line = request.substr(0, request.find('\r'));
  const size_t space = line.find(' ');
  if (space == line.npos || line.find(" HTTP/1.") == line.npos)
    return response("400 Bad Request", kPlainText, "this is no HTTP\n");
  if (line.substr(0, space) != "GET")
    return response("405 Method Not Allowed", kPlainText, "only GET is answered\n");
  std::string_view path = line.substr(space + 1);
  path = path.substr(0, path.find_first_of(" ?"));
  if (path != "/metrics") return response("404 Not Found", kPlainText, "there is only /metrics\n");
  return response("200 OK", "text/plain; version=0.0.4; charset=utf-8", text());
}

// How a step with a client went; kDone: nothing is left to do with it.
enum class Step : uint8_t { kLater, kGoOn, kDone };

Step receive(const Fd& connection, std::string& request) {
  std::array<uint8_t, 4096> buffer;
  for (;;) {
    auto got = kernel::receive_bytes(connection, buffer);
    if (!got.ok()) return Step::kDone;
    request.append(reinterpret_cast<const char*>(buffer.data()), got->bytes);
    if (request.size() > MetricsPort::kRequestBytesMax) return Step::kDone;
    if (request.find("\r\n\r\n") != request.npos) return Step::kGoOn;
    if (got->end) return Step::kDone;
    if (got->bytes == 0) return Step::kLater;
  }
}

Step send(const Fd& connection, const std::string& answer, size_t& sent) {
  while (sent < answer.size()) {
    const auto* from = reinterpret_cast<const uint8_t*>(answer.data()) + sent;
    auto wrote = kernel::send_bytes(connection, {from, answer.size() - sent});
    if (!wrote.ok()) return Step::kDone;
    if (*wrote == 0) return Step::kLater;
    sent += *wrote;
  }
  return Step::kDone;
}

}  // namespace

Result<MetricsPort> MetricsPort::listen(uint16_t port) {
  const std::string what = fmt::format("metrics port {}", port);
  Fd listener = PD_TRY(kernel::make_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  PD_TRY(kernel::set_socket_option_int(listener.get(), SOL_SOCKET, SO_REUSEADDR, 1));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  PD_TRY_WITHIN(
      what, kernel::bind_socket(listener.get(), std::string(reinterpret_cast<const char*>(&address),
                                                            sizeof(address))));
  PD_TRY_WITHIN(what, kernel::listen_socket(listener.get(), kClientsMax));
  socklen_t size = sizeof(address);
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return Error::system(errno, "ask for the number of", what);
  Fd epoll = PD_TRY(kernel::make_epoll());
  PD_TRY(kernel::epoll_add(epoll.get(), listener.get(), {kListenerEvents, 0}));
  return MetricsPort(std::move(listener), std::move(epoll), ntohs(address.sin_port));
}

void MetricsPort::accept_all() {
  // What waits beyond this comes with the next connection.
  constexpr int kAcceptedAtOnceMax = 64;
  for (int count = 0; count < kAcceptedAtOnceMax; ++count) {
    auto accepted = kernel::accept_unix(listener_);
    if (!accepted.ok() || !accepted->has_value()) return;
    Fd connection = std::move(**accepted);
    if (!kernel::epoll_add(epoll_.get(), connection.get(), {kClientEvents, 0}).ok()) continue;
    if (clients_.size() == kClientsMax) clients_.pop_front();
    clients_.push_back({std::move(connection), "", "", 0});
  }
}

void MetricsPort::serve(const std::function<std::string()>& text) {
  // First, so that what comes from now on is an event again.
  (void)kernel::epoll_drain(epoll_.get()).ok();
  accept_all();
  clients_.remove_if([&text](Client& client) {
    if (client.answer.empty()) {
      const Step step = receive(client.connection, client.request);
      if (step != Step::kGoOn) return step == Step::kDone;
      client.answer = answer_to(client.request, text);
    }
    return send(client.connection, client.answer, client.sent) == Step::kDone;
  });
}

}  // namespace perdure::daemon
