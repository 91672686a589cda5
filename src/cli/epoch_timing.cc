#include "cli/epoch_timing.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "cli/epoch_note.h"

namespace perdure::cli {
namespace {

// More parts than any engine has: what is beyond was not written by one.
constexpr size_t kPartsMax = 64;

void set(TimingTable& table, std::vector<std::optional<uint64_t>>& row, std::string_view part,
         uint64_t us) {
  auto at = std::find(table.parts.begin(), table.parts.end(), part);
  if (at == table.parts.end()) {
    if (table.parts.size() == kPartsMax) return;
    at = table.parts.emplace(table.parts.end(), part);
  }
  size_t place = static_cast<size_t>(at - table.parts.begin());
  if (row.size() <= place) row.resize(place + 1);
  row[place] = us;
}

// A flat object of numbers: {"stop":12,"memory":345}.
void add_parts(TimingTable& table, std::vector<std::optional<uint64_t>>& row,
               std::string_view json) {
  for (;;) {
    size_t begin = json.find('"');
    if (begin == std::string_view::npos) return;
    size_t end = json.find("\":", begin + 1);
    if (end == std::string_view::npos) return;
    std::string_view name = json.substr(begin + 1, end - begin - 1);
    json.remove_prefix(end + 2);
    uint64_t us = 0;
    auto [rest, error] = std::from_chars(json.data(), json.data() + json.size(), us);
    if (error == std::errc()) set(table, row, name, us);
    json.remove_prefix(static_cast<size_t>(rest - json.data()));
  }
}

}  // namespace

std::optional<uint64_t> TimingTable::percentile(const std::string& part, double share) const {
  const auto column =
      static_cast<size_t>(std::find(parts.begin(), parts.end(), part) - parts.begin());
  std::vector<uint64_t> values;
  for (const auto& row : rows) {
    if (column < row.size() && row[column]) values.push_back(*row[column]);
  }
  if (values.empty()) return std::nullopt;
  auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
  auto place =
      values.begin() + static_cast<ptrdiff_t>(std::clamp<size_t>(rank, 1, values.size()) - 1);
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

TimingTable timing_of(const std::vector<EpochRow>& rows) {
  TimingTable table;
  table.parts.push_back(kWholeWindow);
  for (const EpochRow& row : rows) {
    std::vector<std::optional<uint64_t>> cells = {note_number(row.info->note, kWholeWindow)};
    add_parts(table, cells, note_object(row.info->note, "timing"));
    table.rows.push_back(std::move(cells));
  }
  for (auto& cells : table.rows) cells.resize(table.parts.size());
  return table;
}

}  // namespace perdure::cli
