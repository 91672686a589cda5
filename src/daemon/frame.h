// One control message on the wire: magic "PDCT" (4 bytes), version (u16), zero (u16), length of the
// body (u32), body: a serialised perdure.control message. Little-endian. Whatever bytes come,
// decoding yields a body, "more is needed" or an error; after an error the connection is of no use.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace perdure::daemon {

inline constexpr uint32_t kFrameMagic = 0x54434450;  // "PDCT"
inline constexpr uint16_t kProtocolVersion = 1;
inline constexpr size_t kFrameHeaderBytes = 12;
// The largest message is a status of kProcessesMax processes, some 10 bytes each, or a terminal's
// replay.
inline constexpr size_t kFrameBodyMax = 1u << 20;

// The frame of a body. The body is one of ours and within the limit.
std::vector<uint8_t> encode_frame(const std::string& body);

// Collects bytes as they come and gives whole bodies.
class FrameReader {
 public:
  void add(Bytes bytes) { buffer_.insert(buffer_.end(), bytes.begin(), bytes.end()); }
  // The next body, none if more bytes are needed. Code::kNewer for another version, kInvalid for
  // what is no frame.
  Result<std::optional<std::string>> next();
  // True in the middle of a frame.
  bool partial() const { return !buffer_.empty(); }
  size_t buffered() const { return buffer_.size(); }

 private:
  std::vector<uint8_t> buffer_;
};

}  // namespace perdure::daemon
