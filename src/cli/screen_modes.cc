#include "cli/screen_modes.h"

#include <algorithm>

namespace perdure::cli {
namespace {

constexpr char kEscape = 0x1b;
// ESC [ ? parameters h or l; longer ones are no mode switches that we know.
constexpr size_t kSequenceBytesMax = 32;

// Private modes that a shell does not want to find (xterm's control sequences). The cursor is the
// one that is usually on.
constexpr const char* kModesThatAreOff[] = {"1",    "9",    "47",   "1000", "1002", "1003",
                                            "1004", "1006", "1015", "1047", "1049", "2004"};
constexpr const char* kCursor = "25";

bool holds(const std::string& set, const std::string& mode) {
  return set.find(";" + mode + ";") != std::string::npos;
}

}  // namespace

void ScreenModes::follow(Bytes output) {
  for (uint8_t byte : output) {
    char c = static_cast<char>(byte);
    if (c == kEscape) {
      pending_ = c;
      continue;
    }
    if (pending_.empty()) continue;
    pending_ += c;
    if (pending_.size() == 2 ? c != '[' : pending_.size() == 3 && c != '?') {
      pending_.clear();
      continue;
    }
    if (pending_.size() <= 3) continue;
    bool parameter = (c >= '0' && c <= '9') || c == ';';
    if (parameter && pending_.size() < kSequenceBytesMax) continue;
    if (c == 'h' || c == 'l') take_sequence(pending_.substr(3, pending_.size() - 4), c == 'h');
    pending_.clear();
  }
}

void ScreenModes::take_sequence(const std::string& parameters, bool set) {
  for (size_t at = 0; at <= parameters.size();) {
    size_t end = std::min(parameters.find(';', at), parameters.size());
    std::string mode = parameters.substr(at, end - at);
    at = end + 1;
    bool known = mode == kCursor;
    for (const char* off : kModesThatAreOff) known = known || mode == off;
    // A hidden cursor is remembered as a mode that is on.
    bool remember = mode == kCursor ? !set : set;
    size_t found = set_.find(";" + mode + ";");
    if (!known || remember == (found != std::string::npos)) continue;
    if (remember) {
      set_ += (set_.empty() ? ";" : "") + mode + ";";
    } else {
      set_.erase(found, mode.size() + 1);
    }
  }
}

std::string ScreenModes::leave() const {
  std::string out;
  for (const char* mode : kModesThatAreOff) {
    if (holds(set_, mode)) out += std::string("\x1b[?") + mode + "l";
  }
  if (holds(set_, kCursor)) out += "\x1b[?25h";
  if (!out.empty()) out += "\x1b[0m";
  return out;
}

}  // namespace perdure::cli
