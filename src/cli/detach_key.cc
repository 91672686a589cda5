#include "cli/detach_key.h"

namespace perdure::cli {

std::string DetachKey::pass(Bytes typed) {
  std::string out;
  for (uint8_t byte : typed) {
    char key = static_cast<char>(byte);
    if (seen_) break;
    if (!after_prefix_) {
      after_prefix_ = key == kDetachPrefix;
      if (!after_prefix_) out += key;
      continue;
    }
    after_prefix_ = false;
    if (key == kDetachLetter) {
      seen_ = true;
    } else {
      out += kDetachPrefix;
      if (key != kDetachPrefix) out += key;
    }
  }
  return out;
}

}  // namespace perdure::cli
