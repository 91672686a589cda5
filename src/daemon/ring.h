// The last bytes that a program wrote to its terminal while nobody looked. Bounded: the oldest go
// first.
#pragma once

#include <cstddef>
#include <string>

#include "base/bytes.h"

namespace perdure::daemon {

class Ring {
 public:
  explicit Ring(size_t capacity) : bytes_(capacity, '\0') {}

  void write(Bytes bytes);
  // Everything held, oldest first; the ring is empty afterwards.
  std::string take();
  size_t size() const { return size_; }
  // True if bytes were lost since the last take().
  bool overflowed() const { return overflowed_; }

 private:
  std::string bytes_;
  size_t begin_ = 0;
  size_t size_ = 0;
  bool overflowed_ = false;
};

}  // namespace perdure::daemon
