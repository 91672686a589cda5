// What the user sees: tables, numbers with units, and the one line of an error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perdure::cli {

// Standard output, written whole. Code::kIo if it cannot be (a full disk); a closed pipe is no
// error.
Status print(std::string_view text);
// "perdure: WHAT" and, indented below it, "remedy: ...", on standard error. Line feeds and control
// characters in foreign text become spaces, so that it is one line each.
void print_error(const Error& error);
std::string error_text(const Error& error);

std::string bytes_text(uint64_t bytes);                   // 1.5 MB
std::string duration_text(uint64_t us);                   // 185 us, 1.3 ms
std::string count_text(uint64_t count);                   // 12,345
std::string time_text(uint64_t realtime_ns);              // 2024-06-01 12:00:03, local time
std::string age_text(uint64_t from_ns, uint64_t now_ns);  // 3 min

enum class Align : uint8_t { kLeft, kRight };

// Columns as wide as their widest cell; the last one is not padded.
class Table {
 public:
  Table& column(std::string title, Align align);
  void row(std::vector<std::string> cells);
  // The titles and the rows, each without a line feed.
  std::vector<std::string> lines() const;
  std::string text() const;

 private:
  struct Column {
    std::string title;
    Align align;
  };
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace perdure::cli
