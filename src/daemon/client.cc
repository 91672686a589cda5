#include "daemon/client.h"

#include <fmt/format.h>

#include <array>

#include "daemon/message.h"
#include "kernel/control_socket.h"

namespace perdure::daemon {
namespace {

// How long the engine may take to take in a request of a few bytes.
constexpr std::chrono::milliseconds kSendTime{10000};

Error unexpected() {
  return Error(Code::kInternal, "the engine gave an answer to another question");
}

}  // namespace

Result<Client> Client::connect(const GroupPlace& place) {
  auto socket = kernel::connect_unix(place.socket_path);
  if (socket.ok()) return Client(std::move(*socket), place.name);
  if (socket.error().code() != Code::kNotFound) return std::move(socket).error();
  return Error(Code::kNotFound, "group " + place.name + " has no engine");
}

bool Client::is_held(const GroupPlace& place) {
  auto client = connect(place);
  if (!client.ok()) return false;
  auto status = client->status();
  return status.ok() || status.error().code() != Code::kGone;
}

Error Client::engine_gone() const {
  return Error(Code::kGone, "the engine of group " + name_ + " went away")
      .with_remedy("the group runs on if it was running: `perdure ps` shows it, `perdure attach " +
                   name_ + "` starts a new engine; engine.log in the group's folder tells why");
}

Status Client::send(const control::Request& request) {
  std::vector<uint8_t> frame = encode_frame(request.SerializeAsString());
  for (size_t sent = 0; sent < frame.size();) {
    if (!PD_TRY(kernel::wait_writable(socket_.get(), kSendTime))) {
      return Error(Code::kTimeout, "the engine of group " + name_ + " takes no request");
    }
    auto now = kernel::send_bytes(socket_, Bytes(frame).subspan(sent));
    if (!now.ok())
      return now.error().code() == Code::kGone ? engine_gone() : std::move(now).error();
    sent += *now;
  }
  return Ok{};
}

Result<Answer> Client::next(std::chrono::milliseconds time) {
  std::array<uint8_t, 65536> buffer;
  for (;;) {
    if (std::optional<std::string> body = PD_TRY(reader_.next())) {
      Answer answer;
      if (!answer.response.ParseFromString(*body)) return unexpected();
      if (answer.response.has_failure()) return read_error(answer.response.failure());
      answer.descriptor = std::move(descriptor_);
      return answer;
    }
    if (!PD_TRY(kernel::wait_readable(socket_.get(), time))) {
      return Error(Code::kTimeout, "the engine of group " + name_ + " does not answer")
          .with_remedy("it may be in the middle of a long checkpoint; try again");
    }
    kernel::Received received = PD_TRY(kernel::receive_bytes(socket_, buffer));
    if (!received.descriptors.empty()) descriptor_ = std::move(received.descriptors.front());
    ended_ = received.end;
    if (ended_) return engine_gone();
    reader_.add(Bytes(buffer).first(received.bytes));
  }
}

Result<Answer> Client::call(const control::Request& request, std::chrono::milliseconds time) {
  PD_TRY(send(request));
  return next(time);
}

Result<control::StatusReply> Client::status(std::chrono::milliseconds time) {
  control::Request request;
  request.mutable_status();
  Answer answer = PD_TRY(call(request, time));
  if (!answer.response.has_status()) return unexpected();
  return answer.response.status();
}

Result<engine::CheckpointReport> Client::checkpoint(const Checkpoint& what) {
  control::Request request;
  request.mutable_checkpoint()->set_files_volatile(what.files == engine::FilePolicy::kVolatile);
  request.mutable_checkpoint()->set_durable(what.durable);
  request.mutable_checkpoint()->set_keep(what.keep);
  Answer answer = PD_TRY(call(request, kNoLimit));
  if (!answer.response.has_checkpoint()) return unexpected();
  return read_report(answer.response.checkpoint());
}

Result<control::Ended> Client::kill() {
  control::Request request;
  request.mutable_kill();
  Answer answer = PD_TRY(call(request, kNoLimit));
  if (!answer.response.has_ended()) return unexpected();
  wait_gone();
  return answer.response.ended();
}

void Client::wait_gone() {
  // Whatever else it says, or if it takes too long: the next one who needs the lock is told so.
  constexpr std::chrono::milliseconds kLeaveTime{10000};
  while (next(kLeaveTime).ok()) {
  }
}

Status Client::detach() {
  control::Request request;
  request.mutable_detach();
  PD_TRY(call(request, kNoLimit));
  wait_gone();
  return Ok{};
}

Status Client::shutdown() {
  control::Request request;
  request.mutable_shutdown();
  PD_TRY(call(request, kNoLimit));
  wait_gone();
  return Ok{};
}

Status Client::call_for_done(const control::Request& request) {
  Answer answer = PD_TRY(call(request, kNoLimit));
  return answer.response.has_done() ? Status(Ok{}) : unexpected();
}

Status Client::pause() {
  control::Request request;
  request.mutable_pause();
  return call_for_done(request);
}

Status Client::resume(uint64_t period_ns) {
  control::Request request;
  request.mutable_resume()->set_period_ns(period_ns);
  return call_for_done(request);
}

Status Client::pass_signal(int signal) {
  control::Request request;
  request.mutable_signal()->set_signal(signal);
  return send(request);
}

Result<Client::Terminal> Client::terminal() {
  control::Request request;
  request.mutable_terminal();
  Answer answer = PD_TRY(call(request, kStatusTime));
  if (!answer.response.has_terminal() || !answer.descriptor.valid()) return unexpected();
  return Terminal{std::move(answer.descriptor), answer.response.terminal().replay()};
}

Status Client::watch_end() {
  control::Request request;
  request.mutable_wait();
  return send(request);
}

}  // namespace perdure::daemon
