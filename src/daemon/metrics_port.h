// MetricsPort: a TCP port on 127.0.0.1 that answers GET /metrics (HTTP/1.1, one request for each
// connection) for an event loop that must never wait: everything here takes what is there now.
// Whoever reads on this machine may read it; it tells no more than names, counts and sizes.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace perdure::daemon {

class MetricsPort {
 public:
  // A scraper or two, and a person with curl. Beyond that the oldest connection is dropped.
  static constexpr size_t kClientsMax = 8;
  static constexpr size_t kRequestBytesMax = 8192;

  // port 0: any free one. Code::kExists if somebody has it.
  static Result<MetricsPort> listen(uint16_t port);

  uint16_t port() const { return port_; }
  // Readable when serve() has something to do.
  int fd() const { return epoll_.get(); }
  // Accepts, reads and answers as far as possible without waiting. text: the metrics, asked for
  // once for each request.
  void serve(const std::function<std::string()>& text);

 private:
  struct Client {
    Fd connection;
    std::string request;
    std::string answer;  // empty until the request is whole
    size_t sent = 0;
  };
  MetricsPort(Fd listener, Fd epoll, uint16_t port)
      : listener_(std::move(listener)), epoll_(std::move(epoll)), port_(port) {}
  void accept_all();

  Fd listener_;
  Fd epoll_;
  uint16_t port_;
  std::list<Client> clients_;
};

}  // namespace perdure::daemon
