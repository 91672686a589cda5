// Moments and spans of time as a user types them: "14:03:10.250", "2026-05-01 14:03", "3s",
// "250ms". Pure but for the time zone, which is the user's (localtime).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace perdure::cli {

struct Moment {
  struct Date {
    int year = 0, month = 0, day = 0;
  };
  std::optional<Date> date;  // none: today
  int hour = 0, minute = 0, second = 0;
  uint64_t nanosecond = 0;
};

// "[YYYY-MM-DD(T| )]HH:MM[:SS[.fraction]]"; nothing if the text is none.
std::optional<Moment> parse_moment(std::string_view text);
// Nanoseconds since 1970. A time of day that is still to come today is refused: whoever types it
// after midnight means yesterday, and has to say so.
Result<uint64_t> realtime_of(const Moment& moment, uint64_t now_ns);

// A number with a unit: ns, us, ms, s, m (or min), h, d. Nothing if the text is none, or
// longer than 64 bits hold (300 years).
std::optional<uint64_t> parse_span_ns(std::string_view text);

// The span in the largest unit that divides it: "100ms", "90s", "1h".
std::string span_text(uint64_t span_ns);
// "2026-05-01 14:03:10.250", local time.
std::string moment_text(uint64_t realtime_ns);

}  // namespace perdure::cli
