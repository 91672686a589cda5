#include "daemon/ring.h"

#include <algorithm>

#include "base/assert.h"

namespace perdure::daemon {

void Ring::write(Bytes bytes) {
  if (bytes.size() > bytes_.size()) {
    bytes = bytes.last(bytes_.size());
    overflowed_ = true;
  }
  size_t free = bytes_.size() - size_;
  if (bytes.size() > free) {
    size_t lost = bytes.size() - free;
    begin_ = (begin_ + lost) % bytes_.size();
    size_ -= lost;
    overflowed_ = true;
  }
  for (size_t done = 0; done < bytes.size();) {
    size_t at = (begin_ + size_) % bytes_.size();
    size_t run = std::min(bytes.size() - done, bytes_.size() - at);
    std::memcpy(bytes_.data() + at, bytes.data() + done, run);
    done += run;
    size_ += run;
  }
  PD_ASSERT(size_ <= bytes_.size());
}

std::string Ring::take() {
  size_t first = std::min(size_, bytes_.size() - begin_);
  std::string taken = bytes_.substr(begin_, first) + bytes_.substr(0, size_ - first);
  begin_ = 0;
  size_ = 0;
  overflowed_ = false;
  return taken;
}

}  // namespace perdure::daemon
