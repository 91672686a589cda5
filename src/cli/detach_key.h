// Ctrl-] d, typed on the terminal of a group, leaves it. Ctrl-] twice types one Ctrl-]; before any
// other key it is typed as it is.
#pragma once

#include <string>

#include "base/bytes.h"

namespace perdure::cli {

inline constexpr char kDetachPrefix = 0x1d;  // Ctrl-]
inline constexpr char kDetachLetter = 'd';

class DetachKey {
 public:
  // What of the typed bytes is for the program. After the key nothing is.
  std::string pass(Bytes typed);
  bool seen() const { return seen_; }

 private:
  bool after_prefix_ = false;
  bool seen_ = false;
};

}  // namespace perdure::cli
