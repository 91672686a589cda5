// What a program has switched on in the terminal that shows it, so that leaving it in the middle
// can switch it off again: the alternate screen, a hidden cursor, mouse reports, bracketed paste,
// colours.
#pragma once

#include <string>

#include "base/bytes.h"

namespace perdure::cli {

class ScreenModes {
 public:
  // Follows the program's output, however it is cut.
  void follow(Bytes output);
  // What brings the terminal back to what a shell expects. Empty if the program has switched
  // nothing on.
  std::string leave() const;

 private:
  void take_sequence(const std::string& parameters, bool set);

  std::string pending_;  // the beginning of a sequence at the end of the output so far
  std::string set_;      // the private modes that are on, each between semicolons: ";25;1049;"
};

}  // namespace perdure::cli
