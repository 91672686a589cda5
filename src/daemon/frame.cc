#include "daemon/frame.h"

#include "base/assert.h"

namespace perdure::daemon {

std::vector<uint8_t> encode_frame(const std::string& body) {
  PD_ASSERT(body.size() <= kFrameBodyMax);
  std::vector<uint8_t> frame(kFrameHeaderBytes + body.size());
  store_le<uint32_t>(frame.data(), kFrameMagic);
  store_le<uint16_t>(frame.data() + 4, kProtocolVersion);
  store_le<uint16_t>(frame.data() + 6, 0);
  store_le<uint32_t>(frame.data() + 8, static_cast<uint32_t>(body.size()));
  std::memcpy(frame.data() + kFrameHeaderBytes, body.data(), body.size());
  return frame;
}

Result<std::optional<std::string>> FrameReader::next() {
  if (buffer_.size() < kFrameHeaderBytes) return std::optional<std::string>();
  if (load_le<uint32_t>(buffer_.data()) != kFrameMagic) {
    return Error(Code::kInvalid, "control message: not a Perdure control connection");
  }
  uint16_t version = load_le<uint16_t>(buffer_.data() + 4);
  if (version != kProtocolVersion) {
    return Error(Code::kNewer, "control message: protocol version " + std::to_string(version) +
                                   ", this side speaks " + std::to_string(kProtocolVersion))
        .with_remedy("use the perdure command of the same version as the engine");
  }
  size_t length = load_le<uint32_t>(buffer_.data() + 8);
  if (load_le<uint16_t>(buffer_.data() + 6) != 0 || length > kFrameBodyMax) {
    return Error(Code::kInvalid, "control message: malformed header");
  }
  if (buffer_.size() < kFrameHeaderBytes + length) return std::optional<std::string>();
  auto begin = buffer_.begin() + kFrameHeaderBytes;
  std::string body(begin, begin + static_cast<ptrdiff_t>(length));
  buffer_.erase(buffer_.begin(), begin + static_cast<ptrdiff_t>(length));
  return std::optional(std::move(body));
}

}  // namespace perdure::daemon
