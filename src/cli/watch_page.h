// The page that `perdure ps --watch` shows: text for a terminal of some size. Pure.
#pragma once

#include <string>
#include <vector>

#include "cli/watch_figures.h"

namespace perdure::cli {

struct WatchRow {
  std::string name;
  std::string state;
  std::optional<control::Persistence> counts;  // if its engine has answered
  WatchFigures figures;
  uint64_t store_bytes = 0;
};

struct PageSize {
  size_t rows = 24;
  size_t columns = 80;
};

// kAscii where the terminal's character set is not UTF-8.
enum class Characters : uint8_t { kUtf8, kAscii };

// "10ms, now 25.0 ms", "paused", "on request".
std::string period_text(const control::Persistence& counts);

// At most size.rows lines of at most size.columns columns. Troubles of groups stand below the
// table, as far as there is room.
std::vector<std::string> watch_page(const std::vector<WatchRow>& rows, const std::string& time,
                                    PageSize size, Characters characters);

// What draws these lines over whatever a terminal in raw mode shows, in one piece and without
// clearing it first, so that nothing flickers.
std::string frame_of(const std::vector<std::string>& lines);

}  // namespace perdure::cli
