// Timing: how long each part of a stage took, for the log and for the epoch's note.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace perdure::engine {

class Timing {
 public:
  explicit Timing(const Clock& clock)
      : clock_(clock), last_ns_(clock.monotonic_ns()), start_ns_(last_ns_) {}

  // The part that ends now. `name` is a literal.
  void mark(const char* name) {
    const uint64_t now = clock_.monotonic_ns();
    parts_.push_back({name, (now - last_ns_) / 1000});
    last_ns_ = now;
  }
  uint64_t last_us() const { return parts_.empty() ? 0 : parts_.back().us; }
  // The parts since the restart become one, which ends now.
  void fold(const char* name) {
    parts_.erase(parts_.begin() + static_cast<ptrdiff_t>(first_), parts_.end());
    last_ns_ = start_ns_;
    mark(name);
  }
  // Parts count from this moment on.
  void restart(uint64_t at_ns) {
    last_ns_ = start_ns_ = at_ns;
    first_ = parts_.size();
  }
  uint64_t since_restart_us() const { return (last_ns_ - start_ns_) / 1000; }

  // {"part":us,...}
  std::string json() const {
    std::string text = "{";
    for (const Part& part : parts_) {
      if (text.size() > 1) text += ",";
      text += std::string("\"") + part.name + "\":" + std::to_string(part.us);
    }
    return text + "}";
  }

 private:
  struct Part {
    const char* name;
    uint64_t us;
  };
  const Clock& clock_;
  uint64_t last_ns_;
  uint64_t start_ns_;
  size_t first_ = 0;  // part since the restart
  std::vector<Part> parts_;
};

}  // namespace perdure::engine
