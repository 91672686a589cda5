#include "cli/screen_modes.h"

#include <gtest/gtest.h>

namespace perdure::cli {
namespace {

struct Row {
  std::string output;
  std::string leave;
};

TEST(ScreenModes, LeavingSwitchesOffWhatIsOn) {
  const Row table[] = {
      {"plain text\r\n", ""},
      {"\x1b[?1049h\x1b[2J full screen", "\x1b[?1049l\x1b[0m"},
      {"\x1b[?1049h ... \x1b[?1049l", ""},
      {"\x1b[?25l", "\x1b[?25h\x1b[0m"},
      {"\x1b[?25l\x1b[?25h", ""},
      {"\x1b[?1000;1006h", "\x1b[?1000l\x1b[?1006l\x1b[0m"},
      {"\x1b[?2004h\x1b[?2004h\x1b[?2004l", ""},
      {"\x1b[?1049", ""},
      {"\x1b[1049h\x1b]?1049h", ""},
      {"\x1b[?" + std::string(100, '1') + "049h", ""},
      {"\x1b\x1b[?1049h", "\x1b[?1049l\x1b[0m"},
  };
  for (const Row& row : table) {
    for (size_t step : {row.output.size(), size_t{1}, size_t{3}}) {
      ScreenModes modes;
      for (size_t at = 0; at < row.output.size(); at += step) {
        std::string part = row.output.substr(at, step);
        modes.follow(Bytes(reinterpret_cast<const uint8_t*>(part.data()), part.size()));
      }
      EXPECT_EQ(modes.leave(), row.leave) << row.output << " in steps of " << step;
    }
  }
}

}  // namespace
}  // namespace perdure::cli
