#include "cli/watch_page.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/moment.h"
#include "cli/output.h"

namespace perdure::cli {
namespace {

constexpr const char* kBars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr const char* kAsciiBars[] = {" ", ".", ":", "-", "=", "+", "*", "#", "@"};
constexpr size_t kBarHeights = 8;

bool is_continuation(char c) { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }

// The first `columns` characters of UTF-8 text; foreign control characters do not reach a terminal.
std::string cut_to(const std::string& text, size_t columns) {
  std::string out;
  size_t width = 0;
  for (char c : text) {
    if (!is_continuation(c) && ++width > columns) break;
    out += static_cast<uint8_t>(c) < 0x20 || c == 0x7f ? ' ' : c;
  }
  return out;
}

// What occurred at all is visible; the highest bar is the most frequent class.
std::string bars_of(const std::array<uint64_t, kStopClasses>& stops, Characters characters) {
  const uint64_t most = *std::max_element(stops.begin(), stops.end());
  std::string text;
  for (uint64_t count : stops) {
    const size_t height = count == 0 ? 0 : std::max<size_t>(1, count * kBarHeights / most);
    text += characters == Characters::kUtf8 ? kBars[height] : kAsciiBars[height];
  }
  return text;
}

std::string us_or_dash(std::optional<uint64_t> us) { return us ? duration_text(*us) : "-"; }

std::string rate_text(double bytes_per_s) {
  return bytes_text(static_cast<uint64_t>(bytes_per_s)) + "/s";
}

std::vector<std::string> cells_of(const WatchRow& row, Characters characters) {
  std::vector<std::string> cells = {row.name, row.state};
  if (!row.counts) {
    cells.resize(12, "-");
    cells.push_back(bytes_text(row.store_bytes));
    cells.push_back("");
    return cells;
  }
  const control::Persistence& counts = *row.counts;
  for (std::string cell :
       {period_text(counts), fmt::format("{:.1f}", row.figures.epochs_per_s),
        us_or_dash(row.figures.stop_p50_us), us_or_dash(row.figures.stop_p99_us),
        counts.captured() > 0 ? duration_text(counts.stop_max_us()) : std::string("-"),
        rate_text(row.figures.dirty_per_s), rate_text(row.figures.written_per_s),
        counts.durable() > 0 ? duration_text(counts.durable_lag_last_ns() / 1000)
                             : std::string("-"),
        counts.durable() > 0 ? duration_text(counts.durable_lag_max_ns() / 1000) : std::string("-"),
        count_text(counts.missed()), bytes_text(row.store_bytes),
        bars_of(row.figures.stops, characters)}) {
    cells.push_back(std::move(cell));
  }
  return cells;
}

Table table_of(const std::vector<WatchRow>& rows, Characters characters) {
  Table table;
  table.column("GROUP", Align::kLeft).column("STATE", Align::kLeft).column("EVERY", Align::kLeft);
  for (const char* title : {"EPOCHS/s", "STOP p50", "p99", "max", "DIRTY", "WRITTEN", "LAG",
                            "LAG max", "MISSED", "STORE"}) {
    table.column(title, Align::kRight);
  }
  table.column("64us<- STOP ->1s", Align::kLeft);
  for (const WatchRow& row : rows) table.row(cells_of(row, characters));
  return table;
}

std::string trouble_of(const WatchRow& row) {
  if (!row.counts || row.counts->last_error().empty()) return "";
  return fmt::format("{}: {} ({} failure{})", row.name, row.counts->last_error(),
                     count_text(row.counts->failures()), row.counts->failures() == 1 ? "" : "s");
}

}  // namespace

std::string period_text(const control::Persistence& counts) {
  if (counts.period_ns() == 0) return "on request";
  if (counts.paused()) return "paused";
  std::string text = span_text(counts.period_ns());
  // Stretched: what it is now, to a tenth of a millisecond.
  if (counts.period_now_ns() > counts.period_ns() * 21 / 20)
    text += fmt::format(", now {}", duration_text(counts.period_now_ns() / 1000));
  return text;
}

std::vector<std::string> watch_page(const std::vector<WatchRow>& rows, const std::string& time,
                                    PageSize size, Characters characters) {
  std::vector<std::string> lines = {fmt::format("{}  {} group{}, figures of the last {}; q quits",
                                                time, rows.size(), rows.size() == 1 ? "" : "s",
                                                span_text(WatchHistory::kReachNs))};
  lines.push_back("");
  for (std::string& line : table_of(rows, characters).lines()) lines.push_back(std::move(line));
  if (rows.empty()) lines.push_back("no groups; `perdure run --every 10ms -- COMMAND` starts one");
  if (lines.size() > size.rows) {
    const size_t hidden = lines.size() - size.rows + 1;
    lines.resize(size.rows > 0 ? size.rows - 1 : 0);
    lines.push_back(fmt::format("... and {} more", hidden));
    lines.resize(std::min(lines.size(), size.rows));
  }
  bool first = true;
  for (const WatchRow& row : rows) {
    const std::string trouble = trouble_of(row);
    if (trouble.empty() || lines.size() + (first ? 2 : 1) > size.rows) continue;
    if (std::exchange(first, false)) lines.push_back("");
    lines.push_back(trouble);
  }
  for (std::string& line : lines) line = cut_to(line, size.columns);
  return lines;
}

std::string frame_of(const std::vector<std::string>& lines) {
  std::string frame = "\x1b[H";
  for (size_t at = 0; at < lines.size(); ++at) {
    if (at > 0) frame += "\r\n";
    frame += lines[at] + "\x1b[K";
  }
  return frame + "\x1b[J";
}

}  // namespace perdure::cli
