#include "cli/output.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/assert.h"

namespace perdure::cli {
namespace {

Status write_to(int file, std::string_view text) {
  while (!text.empty()) {
    ssize_t wrote = ::write(file, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EPIPE) return Ok{};
    if (wrote < 0) return Error::system(errno, "write to", "standard output");
    text.remove_prefix(static_cast<size_t>(wrote));
  }
  return Ok{};
}

std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; },
      ' ');
  return text;
}

// Columns that a terminal shows a text in: UTF-8 sequences count once.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

std::string row_line(const std::vector<std::string>& cells, const std::vector<size_t>& widths,
                     const std::vector<Align>& aligns) {
  std::string line;
  for (size_t at = 0; at < cells.size(); ++at) {
    if (at > 0) line += "  ";
    std::string padding(widths[at] - width_of(cells[at]), ' ');
    line += aligns[at] == Align::kRight ? padding + cells[at] : cells[at] + padding;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

Status print(std::string_view text) { return write_to(STDOUT_FILENO, text); }

// What helps against errors of a kind, where who met one had nothing better to say.
static std::string usual_remedy(Code code) {
  switch (code) {
    case Code::kPermission:
      return "run as root; `perdure check` tells which privileges are missing";
    case Code::kUnavailable:
      return "`perdure check` tells what this kernel lacks";
    case Code::kCorrupt:
      return "`perdure scrub` tells which epochs are whole; restore one of those with --epoch";
    case Code::kNewer:
      return "use a perdure of at least the version that wrote it";
    case Code::kFull:
      return "make room on the store's file system, or drop epochs with `perdure checkpoint --keep "
             "N`";
    default:
      return "";
  }
}

std::string error_text(const Error& error) {
  std::string text = "perdure: " + one_line(error.message()) + "\n";
  std::string remedy = error.remedy().empty() ? usual_remedy(error.code()) : error.remedy();
  if (!remedy.empty()) text += "  remedy: " + one_line(remedy) + "\n";
  return text;
}

void print_error(const Error& error) { (void)write_to(STDERR_FILENO, error_text(error)).ok(); }

std::string bytes_text(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  for (; value >= 999.95 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string duration_text(uint64_t us) {
  if (us < 1000) return fmt::format("{} us", us);
  if (us < 10'000'000) return fmt::format("{:.1f} ms", static_cast<double>(us) / 1e3);
  return fmt::format("{:.1f} s", static_cast<double>(us) / 1e6);
}

std::string count_text(uint64_t count) {
  std::string digits = std::to_string(count);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string time_text(uint64_t realtime_ns) {
  if (realtime_ns == 0) return "-";
  time_t seconds = static_cast<time_t>(realtime_ns / 1'000'000'000);
  struct tm local;
  if (::localtime_r(&seconds, &local) == nullptr) return "-";
  char text[32];
  size_t size = ::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local);
  return std::string(text, size);
}

std::string age_text(uint64_t from_ns, uint64_t now_ns) {
  if (from_ns == 0) return "-";
  uint64_t seconds = now_ns > from_ns ? (now_ns - from_ns) / 1'000'000'000 : 0;
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 2 * 3600) return fmt::format("{} min", seconds / 60);
  if (seconds < 2 * 86400) return fmt::format("{} h", seconds / 3600);
  return fmt::format("{} days", seconds / 86400);
}

Table& Table::column(std::string title, Align align) {
  columns_.push_back({std::move(title), align});
  return *this;
}

void Table::row(std::vector<std::string> cells) {
  PD_ASSERT(cells.size() == columns_.size());
  for (std::string& cell : cells) cell = one_line(std::move(cell));
  rows_.push_back(std::move(cells));
}

std::vector<std::string> Table::lines() const {
  std::vector<std::string> titles;
  std::vector<size_t> widths;
  std::vector<Align> aligns;
  for (size_t at = 0; at < columns_.size(); ++at) {
    size_t width = columns_[at].title.size();
    for (const auto& row : rows_) width = std::max(width, width_of(row[at]));
    titles.push_back(columns_[at].title);
    widths.push_back(width);
    aligns.push_back(columns_[at].align);
  }
  std::vector<std::string> out = {row_line(titles, widths, aligns)};
  for (const auto& row : rows_) out.push_back(row_line(row, widths, aligns));
  return out;
}

std::string Table::text() const {
  std::string out;
  for (const std::string& line : lines()) out += line + "\n";
  return out;
}

}  // namespace perdure::cli
