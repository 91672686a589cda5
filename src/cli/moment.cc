#include "cli/moment.h"

#include <fmt/format.h>
#include <time.h>

#include <array>

namespace perdure::cli {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Reads a text from its front.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool done() const { return text_.empty(); }
  bool take(char c) {
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  // Exactly this many digits.
  std::optional<int> number(size_t digits) {
    if (text_.size() < digits) return std::nullopt;
    int value = 0;
    for (size_t at = 0; at < digits; ++at) {
      if (!is_digit(text_[at])) return std::nullopt;
      value = value * 10 + (text_[at] - '0');
    }
    text_.remove_prefix(digits);
    return value;
  }
  // Digits behind a decimal point, in billionths; what is finer is cut.
  std::optional<uint64_t> fraction() {
    uint64_t value = 0, unit = kSecondNs;
    size_t digits = 0;
    for (; digits < text_.size() && is_digit(text_[digits]); ++digits) {
      unit /= 10;
      value += unit * static_cast<uint64_t>(text_[digits] - '0');
    }
    if (digits == 0) return std::nullopt;
    text_.remove_prefix(digits);
    return value;
  }

 private:
  std::string_view text_;
};

std::optional<Moment::Date> take_date(Scanner& scanner) {
  auto year = scanner.number(4);
  if (!year || !scanner.take('-')) return std::nullopt;
  auto month = scanner.number(2);
  if (!month || !scanner.take('-')) return std::nullopt;
  auto day = scanner.number(2);
  if (!day || (!scanner.take('T') && !scanner.take(' '))) return std::nullopt;
  if (*year < 1970 || *month < 1 || *month > 12 || *day < 1 || *day > 31) return std::nullopt;
  return Moment::Date{*year, *month, *day};
}

std::optional<Moment> take_time(Scanner& scanner) {
  Moment moment;
  auto hour = scanner.number(2);
  if (!hour || !scanner.take(':')) return std::nullopt;
  auto minute = scanner.number(2);
  if (!minute || *hour > 23 || *minute > 59) return std::nullopt;
  moment.hour = *hour;
  moment.minute = *minute;
  if (scanner.done()) return moment;
  if (!scanner.take(':')) return std::nullopt;
  auto second = scanner.number(2);
  if (!second || *second > 59) return std::nullopt;
  moment.second = *second;
  if (scanner.done()) return moment;
  if (!scanner.take('.')) return std::nullopt;
  auto fraction = scanner.fraction();
  if (!fraction || !scanner.done()) return std::nullopt;
  moment.nanosecond = *fraction;
  return moment;
}

struct Unit {
  std::string_view name;
  uint64_t ns;
};
constexpr std::array kUnits = {Unit{"ns", 1},
                               Unit{"us", 1'000},
                               Unit{"ms", 1'000'000},
                               Unit{"s", kSecondNs},
                               Unit{"m", 60 * kSecondNs},
                               Unit{"h", 3600 * kSecondNs},
                               Unit{"d", 86'400 * kSecondNs},
                               Unit{"min", 60 * kSecondNs}};

struct tm local_time(uint64_t realtime_ns) {
  time_t seconds = static_cast<time_t>(realtime_ns / kSecondNs);
  struct tm local = {};
  (void)::localtime_r(&seconds, &local);
  return local;
}

}  // namespace

std::optional<Moment> parse_moment(std::string_view text) {
  Scanner scanner(text);
  bool has_date = text.size() > 4 && text[4] == '-';
  std::optional<Moment::Date> date;
  if (has_date && !(date = take_date(scanner))) return std::nullopt;
  std::optional<Moment> moment = take_time(scanner);
  if (moment) moment->date = date;
  return moment;
}

Result<uint64_t> realtime_of(const Moment& moment, uint64_t now_ns) {
  struct tm local = local_time(now_ns);
  if (moment.date) {
    local.tm_year = moment.date->year - 1900;
    local.tm_mon = moment.date->month - 1;
    local.tm_mday = moment.date->day;
  }
  local.tm_hour = moment.hour;
  local.tm_min = moment.minute;
  local.tm_sec = moment.second;
  local.tm_isdst = -1;
  const int day = local.tm_mday;
  time_t seconds = ::mktime(&local);
  if (seconds < 0 || local.tm_mday != day) {
    return Error(Code::kInvalid, "there is no such day in that month");
  }
  uint64_t realtime_ns = static_cast<uint64_t>(seconds) * kSecondNs + moment.nanosecond;
  if (!moment.date && realtime_ns > now_ns) {
    return Error(Code::kInvalid, fmt::format("{} is still to come today", moment_text(realtime_ns)))
        .with_remedy("give the date too, as in \"2026-05-01 14:03:10\"");
  }
  return realtime_ns;
}

std::optional<uint64_t> parse_span_ns(std::string_view text) {
  size_t unit_at = text.find_first_not_of("0123456789.");
  if (unit_at == 0 || unit_at == std::string_view::npos) return std::nullopt;
  std::string_view number = text.substr(0, unit_at), name = text.substr(unit_at);
  size_t point = number.find('.');
  std::string_view whole = number.substr(0, point);
  uint64_t count = 0, billionths = 0;
  if (whole.empty() || whole.size() > 12) return std::nullopt;
  for (char c : whole) count = count * 10 + static_cast<uint64_t>(c - '0');
  if (point != std::string_view::npos) {
    Scanner scanner(number.substr(point + 1));
    auto fraction = scanner.fraction();
    if (!fraction || !scanner.done()) return std::nullopt;
    billionths = *fraction;
  }
  for (const Unit& unit : kUnits) {
    if (unit.name != name) continue;
    // As long doubles to see what would not fit; a span is not more exact than its text.
    auto span = (static_cast<long double>(count) + static_cast<long double>(billionths) / 1e9L) *
                static_cast<long double>(unit.ns);
    if (span > 1e19L) return std::nullopt;
    return static_cast<uint64_t>(span + 0.5L);
  }
  return std::nullopt;
}

std::string span_text(uint64_t span_ns) {
  const Unit* best = kUnits.begin();
  for (const Unit& unit : kUnits) {
    if (span_ns % unit.ns == 0 && unit.ns > best->ns) best = &unit;
  }
  return fmt::format("{}{}", span_ns / best->ns, best->name);
}

std::string moment_text(uint64_t realtime_ns) {
  struct tm local = local_time(realtime_ns);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}", local.tm_year + 1900,
                     local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec,
                     realtime_ns / 1'000'000 % 1000);
}

}  // namespace perdure::cli
