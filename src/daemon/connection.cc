#include "daemon/connection.h"

#include <array>

#include "kernel/control_socket.h"

namespace perdure::daemon {

void Connection::receive(uint64_t now_ns) {
  std::array<uint8_t, 4096> buffer;
  // A whole frame more than what is needed for one request is not a request.
  while (!closed_ && reader_.buffered() <= kFrameHeaderBytes + kFrameBodyMax) {
    auto received = kernel::receive_bytes(socket_, buffer);
    if (!received.ok()) {
      closed_ = true;
      return;
    }
    // Descriptors that a client sends are closed here: no request carries one.
    if (received->bytes > 0) {
      if (!reader_.partial()) since_ns_ = now_ns;
      reader_.add(Bytes(buffer).first(received->bytes));
    }
    closed_ = received->end;
    if (received->bytes < buffer.size()) return;
  }
}

Result<std::optional<control::Request>> Connection::next_request() {
  std::optional<std::string> body = PD_TRY(reader_.next());
  if (!body) return std::optional<control::Request>();
  control::Request request;
  if (!request.ParseFromString(*body)) {
    return Error(Code::kInvalid, "control message: not a request");
  }
  idle_allowed = true;
  return std::optional(std::move(request));
}

void Connection::send(const control::Response& response, int descriptor) {
  Outgoing message;
  message.bytes = encode_frame(response.SerializeAsString());
  if (descriptor >= 0) message.descriptor = kernel::duplicate(descriptor);
  out_.push_back(std::move(message));
  flush();
}

void Connection::flush() {
  while (!closed_ && !out_.empty()) {
    Outgoing& first = out_.front();
    int descriptor = first.sent == 0 ? first.descriptor.get() : -1;
    auto sent = kernel::send_bytes(socket_, Bytes(first.bytes).subspan(first.sent), descriptor);
    if (!sent.ok()) {
      closed_ = true;
      return;
    }
    if (*sent == 0) return;
    first.sent += *sent;
    if (first.sent == first.bytes.size()) out_.pop_front();
  }
}

bool Connection::overdue(uint64_t now_ns, uint64_t limit_ns) const {
  bool unfinished = reader_.partial() || !idle_allowed;
  return unfinished && now_ns - since_ns_ > limit_ns;
}

}  // namespace perdure::daemon
