// Retention policies as text.
#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include "store/format.h"
#include "store/retention.h"

namespace perdure::store {
namespace {

struct Unit {
  std::string_view name;
  uint64_t ns;
};
constexpr Unit kUnits[] = {
    {"d", 86'400'000'000'000},
    {"h", 3'600'000'000'000},
    {"m", 60'000'000'000},
    {"s", 1'000'000'000},
    {"ms", 1'000'000},
    {"us", 1'000},
    {"ns", 1},
};
// A hundred years: far from what 64 bits of nanoseconds hold.
constexpr uint64_t kTimeMax = 36'525 * kUnits[0].ns;
// Every rule is looked at for every epoch, a hundred times a second.
constexpr size_t kRulesMax = 32;
// 40/h is easily read, 12342857/d is not.
constexpr uint64_t kCountShownMax = 1000;

Error bad_rule(std::string_view rule, const std::string& why) {
  return Error(Code::kInvalid, "retention rule '" + std::string(rule) + "': " + why)
      .with_remedy("write rules like all:1s,1/s:1m,1/m:1h,1/h:7d or a number of epochs");
}

// The whole text as a number.
std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

// Cuts a text in two at its first separator; nothing if there is none.
std::optional<std::pair<std::string_view, std::string_view>> cut(std::string_view text, char at) {
  const size_t found = text.find(at);
  if (found == std::string_view::npos) return {};
  return std::pair(text.substr(0, found), text.substr(found + 1));
}

// "90s"; without a number, 1 of the unit.
Result<uint64_t> parse_time(std::string_view rule, std::string_view text, bool number_needed) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view name = text.substr(digits);
  const Unit* const unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                        [&](const Unit& other) { return other.name == name; });
  const std::string quoted = "'" + std::string(text) + "'";
  if (unit == std::end(kUnits) || (digits == 0 && number_needed)) {
    return bad_rule(rule, quoted + " is no length of time (a number and ns, us, ms, s, m, h or d)");
  }
  const auto count = digits == 0 ? uint64_t{1} : number(text.substr(0, digits));
  if (!count || *count > kTimeMax / unit->ns) {
    return bad_rule(rule, quoted + " is longer than a hundred years");
  }
  if (*count == 0) return bad_rule(rule, quoted + " is no time at all");
  return *count * unit->ns;
}

// "2/s": the time between two epochs.
Result<uint64_t> parse_rate(std::string_view rule, std::string_view text) {
  const auto parts = cut(text, '/');
  if (!parts) return bad_rule(rule, "it begins with neither 'all' nor a number a unit like 1/s");
  const auto count = number(parts->first);
  if (!count || *count == 0) {
    return bad_rule(rule, "'" + std::string(parts->first) + "' is no number of epochs");
  }
  const uint64_t unit = PD_TRY(parse_time(rule, parts->second, false));
  if (*count > unit) return bad_rule(rule, "more than one epoch a nanosecond");
  return unit / *count;
}

Status parse_rule(std::string_view rule, bool& has_newest, Retention& policy) {
  if (rule.empty()) return bad_rule(rule, "it is empty");
  if (rule.find_first_not_of("0123456789") == std::string_view::npos) {
    const auto newest = number(rule);
    if (has_newest) return bad_rule(rule, "there is a number of newest epochs already");
    if (!newest || *newest == 0 || *newest > kEpochsMax) {
      return bad_rule(rule, "a store keeps 1 to " + std::to_string(kEpochsMax) + " epochs");
    }
    has_newest = true;
    policy.newest = *newest;
    return Ok{};
  }
  const auto parts = cut(rule, ':');
  if (!parts)
    return bad_rule(rule, "it does not say for how long (like " + std::string(rule) + ":1h)");
  if (policy.rules.size() == kRulesMax) {
    return bad_rule(rule, "there are more than " + std::to_string(kRulesMax) + " rules");
  }
  const uint64_t every = parts->first == "all" ? 0 : PD_TRY(parse_rate(rule, parts->first));
  policy.rules.push_back({every, PD_TRY(parse_time(rule, parts->second, true))});
  return Ok{};
}

std::string print_time(uint64_t ns) {
  for (const Unit& unit : kUnits) {
    if (ns % unit.ns == 0) return std::to_string(ns / unit.ns) + std::string(unit.name);
  }
  return {};  // not reached: the last unit is 1 ns
}

std::string print_rate(uint64_t every_ns) {
  if (every_ns == 0) return "all";
  for (const Unit& unit : kUnits) {  // one a day, a minute, ...
    if (unit.ns == every_ns) return "1/" + std::string(unit.name);
  }
  for (size_t at = 4; at-- > 0;) {  // 3 a second, 3 a minute, ...
    const uint64_t count = kUnits[at].ns / every_ns;
    if (count != 0 && count <= kCountShownMax && kUnits[at].ns / count == every_ns) {
      return std::to_string(count) + "/" + std::string(kUnits[at].name);
    }
  }
  return "1/" + print_time(every_ns);
}

}  // namespace

Result<Retention> parse_retention(std::string_view text) {
  Retention policy;
  bool has_newest = false;
  for (;;) {
    const auto parts = cut(text, ',');
    PD_TRY(parse_rule(parts ? parts->first : text, has_newest, policy));
    if (!parts) return policy;
    text = parts->second;
  }
}

std::string print_retention(const Retention& policy) {
  std::string text;
  if (policy.newest > 1 || policy.rules.empty()) {
    text = std::to_string(std::max<uint64_t>(policy.newest, 1));
  }
  for (const Retention::Rule& rule : policy.rules) {
    if (!text.empty()) text += ',';
    text += print_rate(rule.every_ns) + ":" + print_time(rule.for_ns);
  }
  return text;
}

}  // namespace perdure::store
