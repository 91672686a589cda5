#include "capture/version.h"

#include <atomic>

namespace perdure::capture {

uint64_t next_version() {
  static std::atomic<uint64_t> given = 0;
  return ++given;
}

}  // namespace perdure::capture
